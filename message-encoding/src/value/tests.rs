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

impl Value<'_> {
    fn to_string_for_test(self) -> String {
        self.to_text().unwrap()
    }
}
