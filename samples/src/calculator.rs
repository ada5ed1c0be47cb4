//! The contract `ICalculator` of the original sample, both sides of it.

use message_encoding::envelope::{Element, MessageFault, Reply, Request};

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
        Element::new(NAMESPACE, self.name()).child("n1", n1).child("n2", n2)
    }

    /// The body of a reply.
    fn reply(self, result: f64) -> Element {
        let name = self.name();
        Element::new(NAMESPACE, &format!("{name}Response")).child(&format!("{name}Result"), result)
    }

    /// The number in the body of a reply.
    ///
    /// # Errors
    /// A fault that says how the body is not of this contract.
    pub fn result(self, body: Option<&Element>) -> Result<f64, MessageFault> {
        let response = format!("{}Response", self.name());
        let body = body.filter(|body| (body.namespace(), body.name()) == (NAMESPACE, &response));
        let body =
            body.ok_or_else(|| MessageFault::deserialization_failed(format!("the reply is no {response}")))?;
        number(body, &format!("{}Result", self.name()))
    }
}

/// The service: a function from request to reply or fault.
///
/// # Errors
/// The fault that says how the request is not of this contract.
pub fn answer(request: &Request<'_>) -> Result<Option<Reply>, MessageFault> {
    let asked = |operation: &Operation| operation.action() == request.action();
    let operation = Operation::ALL.into_iter().find(asked);
    let operation = operation.ok_or_else(|| MessageFault::action_not_supported(request.action()))?;
    let body = request.body_named(NAMESPACE, operation.name())?;
    let result = operation.apply(number(body, "n1")?, number(body, "n2")?);
    Ok(Some(operation.reply(result).into()))
}

/// A number that has to be there: WCF would take 0 for one that is missing or nil.
fn number(body: &Element, name: &str) -> Result<f64, MessageFault> {
    let number = body.required_member(name)?.value().to_f64();
    number.map_err(|_| MessageFault::deserialization_failed(format!("'{name}' is no xs:double")))
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
    use message_encoding::Quotas;
    use message_encoding::envelope::{self, Decoder, Encoder, MessageEncoding, Outgoing};

    use super::*;
    use crate::random;

    /// What the service answers.
    fn ask(action: &str, body: Option<Element>) -> Result<Option<Element>, MessageFault> {
        let mut request = Outgoing::request(action, "", random::message_id(), Element::new("", ""));
        request.body = Ok(body);
        let mut octets = Vec::new();
        Encoder::new(MessageEncoding::Binary, Quotas::DEFAULT).encode(&request, &mut octets).unwrap();
        let mut decoder = Decoder::new(MessageEncoding::Binary, Quotas::DEFAULT);
        let reply = envelope::answer(&mut decoder, &octets, &mut answer).unwrap();
        assert_eq!(reply.relates_to, request.message_id);
        reply.body
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
            let reply = ask(&operation.action(), Some(operation.request(n1, n2))).unwrap();
            assert_eq!(display(operation.result(reply.as_ref()).unwrap()), printed);
        }
    }

    #[test]
    fn what_is_not_of_the_contract_gets_a_fault() {
        let subcode = |action: &str, body| ask(action, body).unwrap_err().subcode.unwrap().1;
        let unknown = "http://Microsoft.ServiceModel.Samples/ICalculator/Root";
        assert_eq!(subcode(unknown, None), "ActionNotSupported");
        let word = Element::new(NAMESPACE, "Add").child("n1", "one").child("n2", 2.0);
        let half = Element::new(NAMESPACE, "Add").child("n1", 1.0);
        let nil = Element::new(NAMESPACE, "n2").nil();
        let nil = Element::new(NAMESPACE, "Add").child("n1", 1.0).with_child(nil);
        for body in [None, Some(Operation::Divide.request(1.0, 2.0)), Some(word), Some(half), Some(nil)] {
            assert_eq!(subcode(&Operation::Add.action(), body), "DeserializationFailed");
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
}
