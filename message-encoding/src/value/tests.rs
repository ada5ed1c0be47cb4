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

impl Value<'_> {
    fn to_string_for_test(self) -> String {
        self.to_text().unwrap()
    }
}
