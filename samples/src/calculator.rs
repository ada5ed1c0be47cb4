//! The contract `ICalculator` of the original sample, both sides of it.

use crate::message::{Body, Fault, Message};
use crate::xml::Element;

/// The namespace of the contract.
pub const NAMESPACE: &str = "http://Microsoft.ServiceModel.Samples";

/// An operation of the contract: two numbers in, one out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// `n1 + n2`
    Add,
    /// `n1 - n2`
    Subtract,
    /// `n1 * n2`
    Multiply,
    /// `n1 / n2`
    Divide,
}

impl Operation {
    /// All four, in the order of the contract.
    pub const ALL: [Self; 4] = [Self::Add, Self::Subtract, Self::Multiply, Self::Divide];

    /// Its name in the contract.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Add => "Add",
            Self::Subtract => "Subtract",
            Self::Multiply => "Multiply",
            Self::Divide => "Divide",
        }
    }

    /// The action that asks for it.
    pub fn action(self) -> String {
        format!("{NAMESPACE}/ICalculator/{}", self.name())
    }

    fn apply(self, n1: f64, n2: f64) -> f64 {
        match self {
            Self::Add => n1 + n2,
            Self::Subtract => n1 - n2,
            Self::Multiply => n1 * n2,
            Self::Divide => n1 / n2,
        }
    }

    /// The body of a request.
    pub fn request(self, n1: f64, n2: f64) -> Element {
        let mut body = Element::new(NAMESPACE, self.name());
        body.children.push(Element::with_text(NAMESPACE, "n1", double_to_xml(n1)));
        body.children.push(Element::with_text(NAMESPACE, "n2", double_to_xml(n2)));
        body
    }

    /// The number in the body of a reply.
    ///
    /// # Errors
    /// The fault that the service answered with, or one that says how the reply is not of this contract.
    pub fn result(self, reply: &Message) -> Result<f64, Fault> {
        let content = match &reply.body {
            Body::Fault(fault) => return Err(fault.clone()),
            Body::Content(content) => content.as_ref(),
        };
        let response = format!("{}Response", self.name());
        let content = content.filter(|content| content.is(NAMESPACE, &response));
        let content =
            content.ok_or_else(|| Fault::deserialization_failed(format!("the reply is no {response}")))?;
        argument(content, &format!("{}Result", self.name()))
    }
}

/// The service: from a request to its reply or fault.
pub fn answer(request: &Message) -> Message {
    match calculate(request) {
        Ok((operation, result)) => {
            let mut body = Element::new(NAMESPACE, &format!("{}Response", operation.name()));
            let name = format!("{}Result", operation.name());
            body.children.push(Element::with_text(NAMESPACE, &name, double_to_xml(result)));
            request.reply(operation.action() + "Response", Body::Content(Some(body)))
        }
        Err(fault) => request.refuse(fault),
    }
}

fn calculate(request: &Message) -> Result<(Operation, f64), Fault> {
    let operation = Operation::ALL.into_iter().find(|operation| operation.action() == request.action);
    let operation = operation.ok_or_else(|| Fault::action_not_supported(&request.action))?;
    let Body::Content(Some(body)) = &request.body else {
        return Err(Fault::deserialization_failed("the body is empty"));
    };
    if !body.is(NAMESPACE, operation.name()) {
        let wanted =
            format!("the body holds no element '{}' of the namespace '{NAMESPACE}'", operation.name());
        return Err(Fault::deserialization_failed(wanted));
    }
    Ok((operation, operation.apply(argument(body, "n1")?, argument(body, "n2")?)))
}

fn argument(body: &Element, name: &str) -> Result<f64, Fault> {
    let element = body.child(NAMESPACE, name);
    let element =
        element.ok_or_else(|| Fault::deserialization_failed(format!("the element '{name}' is missing")))?;
    double_from_xml(&element.text)
        .ok_or_else(|| Fault::deserialization_failed(format!("'{name}' is no xs:double")))
}

/// The lexical form of an `xs:double`, short and exact.
fn double_to_xml(number: f64) -> String {
    if number.is_infinite() {
        return if number > 0.0 { "INF".into() } else { "-INF".into() };
    }
    format!("{number:?}").trim_end_matches(".0").to_owned()
}

/// `str::parse` also takes names of infinity that XML Schema does not know.
fn double_from_xml(text: &str) -> Option<f64> {
    match text.trim_matches([' ', '\t', '\r', '\n']) {
        "INF" => Some(f64::INFINITY),
        "-INF" => Some(f64::NEG_INFINITY),
        "NaN" => Some(f64::NAN),
        number if number.contains(['i', 'I', 'n', 'N']) => None,
        number => number.parse().ok(),
    }
}

/// A number as the original sample prints it: `Double.ToString()` of the .NET Framework, 15 significant digits.
pub fn display(number: f64) -> String {
    const DIGITS: i32 = 15;
    if number.is_nan() {
        return "NaN".into();
    }
    if number.is_infinite() {
        return if number > 0.0 { "Infinity".into() } else { "-Infinity".into() };
    }
    let scientific = format!("{number:.14e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if (-4..DIGITS).contains(&exponent) {
        let decimals = usize::try_from(DIGITS - 1 - exponent).unwrap_or_default();
        return trim_zeros(&format!("{number:.decimals$}")).to_owned();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}E{sign}{:02}", trim_zeros(mantissa), exponent.abs())
}

fn trim_zeros(number: &str) -> &str {
    let trimmed =
        if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { number };
    if trimmed == "-0" { "0" } else { trimmed }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(action: &str, body: Option<Element>) -> Message {
        Message {
            action: action.into(),
            message_id: Some("urn:uuid:1".into()),
            relates_to: None,
            reply_to: None,
            to: None,
            body: Body::Content(body),
        }
    }

    #[test]
    fn the_four_operations_of_the_sample() {
        for (operation, n1, n2, printed) in [
            (Operation::Add, 100.0, 15.99, "115.99"),
            (Operation::Subtract, 145.0, 76.54, "68.46"),
            (Operation::Multiply, 9.0, 81.25, "731.25"),
            (Operation::Divide, 22.0, 7.0, "3.14285714285714"),
            (Operation::Divide, 1.0, 0.0, "Infinity"),
            (Operation::Divide, -1.0, 0.0, "-Infinity"),
            (Operation::Divide, 0.0, 0.0, "NaN"),
        ] {
            let reply = answer(&ask(&operation.action(), Some(operation.request(n1, n2))));
            assert_eq!(reply.action, operation.action() + "Response");
            assert_eq!(reply.relates_to.as_deref(), Some("urn:uuid:1"));
            assert_eq!(display(operation.result(&reply).unwrap()), printed);
        }
    }

    #[test]
    fn what_is_not_of_the_contract_gets_a_fault() {
        let subcode = |message: &Message| match &message.body {
            Body::Fault(fault) => fault.subcode.clone().unwrap().1,
            other => panic!("{other:?}"),
        };
        let add = Operation::Add.action();
        let unknown = answer(&ask("http://Microsoft.ServiceModel.Samples/ICalculator/Root", None));
        assert_eq!(subcode(&unknown), "ActionNotSupported");
        let mut word = Operation::Add.request(1.0, 2.0);
        word.children[0].text = "one".into();
        let mut half = Operation::Add.request(1.0, 2.0);
        half.children.pop();
        for body in [None, Some(Operation::Divide.request(1.0, 2.0)), Some(word), Some(half)] {
            assert_eq!(subcode(&answer(&ask(&add, body))), "DeserializationFailed");
        }
    }

    #[test]
    fn numbers_print_as_in_the_original() {
        for (number, printed) in [
            (0.0, "0"),
            (-0.0, "0"),
            (0.1 + 0.2, "0.3"),
            (123456789012345.6, "123456789012346"),
            (999999999999999.9, "1E+15"),
            (1e15, "1E+15"),
            (1e-5, "1E-05"),
            (0.0001, "0.0001"),
            (-2.5e300, "-2.5E+300"),
        ] {
            assert_eq!(display(number), printed, "{number:?}");
        }
    }

    #[test]
    fn doubles_of_xml_schema() {
        for number in [0.0, -1.5, 115.99, 1e300, 1e-300, f64::INFINITY, f64::NEG_INFINITY, f64::MAX] {
            assert_eq!(double_from_xml(&double_to_xml(number)), Some(number));
        }
        assert!(double_from_xml(" NaN\n").unwrap().is_nan());
        for text in ["", "inf", "nan", "infinity", "1,5", "0x10", "1 2"] {
            assert_eq!(double_from_xml(text), None, "{text}");
        }
    }
}
