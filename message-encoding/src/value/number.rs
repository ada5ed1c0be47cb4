//! Floating-point numbers as .NET shows them: the shortest digits that give the number back.

use alloc::format;
use alloc::string::String;
use core::fmt::Write;

/// Appends `value`: plain for exponents of -4 to 8, else as `1.5E+09`.
pub(super) fn push_float(out: &mut String, value: f32) {
    if !push_special(out, f64::from(value)) {
        let mut digits = Scratch::default();
        let _ = write!(digits, "{value:e}");
        digits.round_to_even(f64::from(value), |text| text.parse() == Ok(value));
        push_digits(out, digits.as_str(), 9);
    }
}

/// Appends `value`: plain for exponents of -4 to 16, else as `1.5E+17`.
pub(super) fn push_double(out: &mut String, value: f64) {
    if !push_special(out, value) {
        let mut digits = Scratch::default();
        let _ = write!(digits, "{value:e}");
        digits.round_to_even(value, |text| text.parse() == Ok(value));
        push_digits(out, digits.as_str(), 17);
    }
}

fn push_special(out: &mut String, value: f64) -> bool {
    out.push_str(if value.is_nan() {
        "NaN"
    } else if value == f64::INFINITY {
        "INF"
    } else if value == f64::NEG_INFINITY {
        "-INF"
    } else {
        return false;
    });
    true
}

/// Appends what `scientific` says, `-1.5e-7`, plain if the point is not moved over more than `plain` digits.
fn push_digits(out: &mut String, scientific: &str, plain: i32) {
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let mantissa = mantissa.strip_prefix('-').map_or(mantissa, |positive| {
        out.push('-');
        positive
    });
    let (first, rest) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if !(-4..plain).contains(&exponent) {
        out.push_str(first);
        if !rest.is_empty() {
            out.push('.');
            out.push_str(rest);
        }
        let sign = if exponent < 0 { '-' } else { '+' };
        let _ = write!(out, "E{sign}{:02}", exponent.unsigned_abs());
        return;
    }
    let Ok(whole) = usize::try_from(exponent) else {
        out.push_str("0.");
        (1..exponent.unsigned_abs()).for_each(|_| out.push('0'));
        out.push_str(first);
        out.push_str(rest);
        return;
    };
    out.push_str(first);
    out.push_str(rest.get(..whole).unwrap_or(rest));
    (rest.len()..whole).for_each(|_| out.push('0'));
    if let Some(fraction) = rest.get(whole..).filter(|fraction| !fraction.is_empty()) {
        out.push('.');
        out.push_str(fraction);
    }
}

/// Room for the digits of one number: at most 17, a sign, a point and an exponent.
#[derive(Clone, Copy, Default)]
struct Scratch {
    octets: [u8; 32],
    length: usize,
}

impl Scratch {
    fn as_str(&self) -> &str {
        core::str::from_utf8(&self.octets[..self.length]).unwrap_or("0e0")
    }

    /// Where two numbers of equally few digits are equally near, Rust takes the upper one and .NET the even one.
    ///
    /// `same` says whether a text gives the number back.
    fn round_to_even(&mut self, value: f64, same: impl Fn(&str) -> bool) {
        // Half-way numbers have at most 18 digits, the last a 5. Finer fractions have more, and larger numbers more odd
        // factors than a mantissa has room for; writing out all digits of those would take long.
        let few_digits = value.abs() < 1e23 && value * 67_108_864.0 % 1.0 == 0.0;
        if !few_digits {
            return;
        }
        let Some(last) = self.octets[..self.length].iter().position(|&octet| octet == b'e').map(|e| e - 1)
        else {
            return;
        };
        if self.octets[last].is_multiple_of(2) {
            return;
        }
        let mut even = *self;
        even.octets[last] -= 1;
        if !same(even.as_str()) {
            return;
        }
        // The number is half-way exactly if its digits are those of the even one, a five, and zeros.
        let exact = format!("{value:.60e}");
        let mantissa = exact.split('e').next().unwrap_or_default().trim_end_matches('0');
        let half = mantissa.strip_suffix('5').map(|digits| digits.trim_end_matches('.'));
        if half.map(str::as_bytes) == Some(&even.octets[..=last]) {
            *self = even;
        }
    }
}

impl Write for Scratch {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        let end = self.length + text.len();
        self.octets.get_mut(self.length..end).ok_or(core::fmt::Error)?.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_within_the_range_and_scientific_outside() {
        let double = |value| {
            let mut out = String::new();
            push_double(&mut out, value);
            out
        };
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (-15.99, "-15.99"),
            (1e16, "10000000000000000"),
            (1e17, "1E+17"),
            (1.25e-4, "0.000125"),
            (1e-4, "0.0001"),
            (1.5e-5, "1.5E-05"),
            (5e-324, "5E-324"),
            (f64::MAX, "1.7976931348623157E+308"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-INF"),
        ] {
            assert_eq!(double(value), text);
        }
        let mut out = String::new();
        push_float(&mut out, 9_007_199_254_740_992.0);
        assert_eq!(out, "9.007199E+15");
        out.clear();
        push_float(&mut out, 123_456_790.0);
        assert_eq!(out, "123456790");
        // 3101310.25 is as near to 3101310.2 as to 3101310.3; 3101310.75 as near to .7 as to .8.
        for (value, text) in [
            (12_405_241.0 / 4.0, "3101310.2"),
            (12_405_243.0 / 4.0, "3101310.8"),
            (-12_405_241.0 / 4.0, "-3101310.2"),
        ] {
            out.clear();
            push_float(&mut out, value);
            assert_eq!(out, text);
        }
        assert_eq!(double(f64::from_bits(3)), "1.5E-323");
        // The finest fraction of 18 digits, 2.98023223876953125E-8, and the next one.
        assert_eq!(double(1.0 / 33_554_432.0), "2.9802322387695312E-08");
        assert_eq!(double(1.0 / 67_108_864.0), "1.4901161193847656E-08");
        assert_eq!(double(2_251_799_813_685_249.0 / 4.0), "562949953421312.2");
    }
}
