//! A service that knows one header, `Tenant`, and says what went wrong.

use message_encoding::envelope::{Element, Header, MessageFault, Reply, Request, Service};

const NAMESPACE: &str = "http://interop.example/2024";

#[derive(Clone, Copy)]
pub struct Shop;

impl Service for Shop {
    fn call(&mut self, request: &Request<'_>) -> Result<Option<Reply>, MessageFault> {
        match request.action().strip_prefix("http://interop.example/2024/IShop/") {
            Some("Order") => {
                let copies =
                    request.body_named(NAMESPACE, "Order")?.required_member("copies")?.value().to_i64()?;
                if copies > 7 {
                    let detail = Element::new(NAMESPACE, "OutOfStock").child("Left", 7);
                    let action = "http://interop.example/2024/IShop/OrderOutOfStockFault";
                    return Err(MessageFault::sender("out of stock").with_detail(detail).with_action(action));
                }
                let reply =
                    Reply::from(Element::new(NAMESPACE, "OrderResponse").child("OrderResult", copies));
                Ok(Some(match request.header(NAMESPACE, "Tenant") {
                    Some(tenant) => {
                        let served = Element::new(NAMESPACE, "Served").with_value(tenant.value().to_text()?);
                        reply.with_header(Header::new(served))
                    }
                    None => reply,
                }))
            }
            Some("Note") => Ok(Some(Element::new(NAMESPACE, "NoteResponse").into())),
            Some("Tell") => Err(MessageFault::internal()),
            _ => Err(MessageFault::action_not_supported(request.action())),
        }
    }

    fn is_one_way(&self, action: &str) -> bool {
        action.ends_with("/Tell")
    }

    fn understands(&self, namespace: &str, name: &str) -> bool {
        (namespace, name) == (NAMESPACE, "Tenant")
    }
}
