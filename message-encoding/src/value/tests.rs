use alloc::string::ToString;

use super::*;

#[test]
fn conversions_read_typed_values_and_texts_alike() {
    assert_eq!(Value::from(" -7\n").to_i64(), Ok(-7));
    assert_eq!(Value::Double(3.0).to_i64(), Ok(3));
    assert_eq!(Value::Double(3.5).to_i64(), Err(ValueError::NotOfType("64-bit integer")));
    assert_eq!(Value::from("1e2").to_f64(), Ok(100.0));
    assert_eq!(Value::from("-INF").to_f64(), Ok(f64::NEG_INFINITY));
    assert!(Value::from("infinity").to_f64().is_err());
    assert!(Value::from("nan").to_f64().is_err());
    assert_eq!(Value::Int(1).to_bool(), Ok(true));
    assert_eq!(Value::from("AQI=").to_bytes().unwrap().as_ref(), [1, 2]);
    let id = Uuid::from_octets([7; 16]);
    assert_eq!(Value::from(Value::UniqueId(id).text().unwrap().as_ref()).to_uuid(), Ok(id));
    assert_eq!(Value::UInt(u64::MAX).to_string_for_test(), u64::MAX.to_string());
}

/// Not by way of the text, which is that of the number as it is.
#[test]
fn floating_point_numbers_are_rounded_once() {
    assert_eq!(Value::Float(0.1).to_f64(), Ok(f64::from(0.1_f32)));
    // half way between 1 and the next number of four octets; its text is a little more
    assert_eq!(Value::Double(1.0 + f64::from(f32::EPSILON) / 2.0).to_f32(), Ok(1.0));
    for value in [(1 << 53) + 1, (1 << 53) + 3, i64::MAX, i64::MIN, -3] {
        assert_eq!(Value::Int(value).to_f64(), Value::from(&*value.to_string()).to_f64());
    }
}

#[test]
fn white_space_is_what_xml_calls_that() {
    for (value, blank) in [
        (Value::Empty, true),
        (Value::from(" \t\r\n"), true),
        (Value::from(" x"), false),
        (Value::from("\u{A0}"), false),
        (Value::Chars(b" \n"), true),
        (Value::Chars(b"\xFF"), false),
        (Value::Unicode(b" \0\n\0"), true),
        (Value::Unicode(b" \x20"), false),
        (Value::Bytes(b""), true),
        (Value::Bytes(b" "), false),
        (Value::Int(0), false),
    ] {
        assert_eq!(value.is_white_space(), blank, "{value:?}");
    }
}

/// A local time is one, also where no zone is known in which it could be shown.
#[test]
fn a_point_in_time_is_what_it_was() {
    for kind in 0..4_u64 {
        let time = DateTime::from_bits(kind << 62 | 630_822_816_000_000_000);
        assert_eq!(Value::DateTime(time).to_date_time(), Ok(time));
    }
}

#[test]
fn base64_is_padded_at_the_end_of_a_group() {
    for (text, octets) in [
        ("AAEC", Some(&[0, 1, 2][..])),
        ("AAE=", Some(&[0, 1])),
        ("AA==", Some(&[0])),
        ("AA==AAE= AAEC", Some(&[0, 0, 1, 0, 1, 2])),
        ("", Some(&[])),
        ("A===", None),
        ("====", None),
        ("=AAA", None),
        ("AA=A", None),
        ("AAE", None),
        ("AA-_", None),
    ] {
        assert_eq!(Value::from(text).to_bytes().ok().as_deref(), octets, "{text}");
    }
}

#[test]
fn a_zone_is_at_most_fourteen_hours_away() {
    for hours in 0..25 {
        for minutes in [0, 1, 30, 59, 60, 61, 99] {
            for sign in ['+', '-'] {
                let text = alloc::format!("2000-01-02T03:04:05{sign}{hours:02}:{minutes:02}");
                let is_one = hours < 14 && minutes < 60 || hours == 14 && minutes == 0;
                assert_eq!(Value::from(&*text).to_date_time().is_ok(), is_one, "{text}");
            }
        }
    }
}

/// What is less than a day below the highest number is a time before the first day; a whole day below is none.
#[test]
fn a_local_time_before_the_first_day_is_of_that_day() {
    let day = 864_000_000_000;
    let local = |ticks: u64| DateTime::from_bits(1 << 63 | ticks).ticks(0);
    assert_eq!(local((1 << 62) - 1), Ok(day - 1));
    assert_eq!(local((1 << 62) - day + 1), Ok(1));
    assert!(local((1 << 62) - day).is_err());
}

impl Value<'_> {
    fn to_string_for_test(self) -> String {
        self.to_text().unwrap()
    }
}
