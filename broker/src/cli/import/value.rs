//! Values as .NET writes them in a configuration.

use std::time::Duration;

/// A whole number that is not negative.
pub(super) fn number(text: &str) -> Result<u32, String> {
    let number = text.trim().parse::<i32>().ok().and_then(|number| u32::try_from(number).ok());
    number.ok_or_else(|| "it must be a whole number from 0 to 2147483647".to_owned())
}

pub(super) fn truth(text: &str) -> Result<bool, String> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("it must be true or false".to_owned()),
    }
}

/// A `TimeSpan`, `[days.]hours:minutes[:seconds[.fraction]]`, or days alone; `None`: `Infinite`.
pub(super) fn time(text: &str) -> Result<Option<Duration>, String> {
    let text = text.trim();
    match text.eq_ignore_ascii_case("infinite") {
        true => Ok(None),
        false => time_span(text).map(Some).ok_or_else(|| {
            "it must be a time such as 00:00:30 (hours:minutes:seconds), or Infinite".to_owned()
        }),
    }
}

fn time_span(text: &str) -> Option<Duration> {
    let digits =
        |text: &str| text.bytes().all(|octet| octet.is_ascii_digit()).then(|| text.parse::<u64>().ok())?;
    let below = |most: u64, text: &str| digits(text).filter(|number| *number < most);
    let days = |text| below(10_675_200, text).map(|days| days * 86_400);
    let Some((hours, rest)) = text.split_once(':') else { return days(text).map(Duration::from_secs) };
    let (days, hours) = match hours.split_once('.') {
        Some((some, hours)) => (days(some)?, hours),
        None => (0, hours),
    };
    let (minutes, seconds) = rest.split_once(':').unwrap_or((rest, "0"));
    let (seconds, fraction) = seconds.split_once('.').unwrap_or((seconds, "0"));
    let whole = days + below(24, hours)? * 3600 + below(60, minutes)? * 60 + below(60, seconds)?;
    // In tenths of a microsecond.
    let ticks = (1..=7).contains(&fraction.len()).then(|| digits(&format!("{fraction:0<7}")))??;
    Some(Duration::from_secs(whole) + Duration::from_nanos(ticks * 100))
}

/// Who a security identifier is on every Windows, and what that is here.
pub(super) fn account(identifier: &str) -> Result<Option<(&'static str, &'static str)>, String> {
    let identifier = identifier.trim();
    let mut parts = identifier.split('-');
    let is_one = parts.next().is_some_and(|s| s.eq_ignore_ascii_case("s"))
        && parts.clone().count() >= 3
        && parts.all(|part| part.parse::<u64>().is_ok());
    if !is_one {
        return Err("it must be a security identifier, such as S-1-5-20; names are not taken".to_owned());
    }
    Ok(match identifier.to_ascii_uppercase().as_str() {
        "S-1-5-18" => Some(("LocalSystem", "root, who always may")),
        "S-1-5-32-544" => Some(("Administrators", "root, who always may")),
        "S-1-5-19" => Some(("LocalService", MEMBER)),
        "S-1-5-20" => Some(("NetworkService", MEMBER)),
        "S-1-5-32-568" => Some(("IIS_IUSRS", "nobody: nothing is hosted in IIS")),
        "S-1-1-0" => Some(("Everyone", MEMBER)),
        "S-1-5-11" => Some(("Authenticated Users", MEMBER)),
        _ => None,
    })
}

/// What others are here.
pub(super) const MEMBER: &str = "make the users of its services members of the group";
