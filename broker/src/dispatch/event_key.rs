//! The names by which the accept loop's epoll says what an event is about.

use rustix::event::epoll;

/// Names a parked connection's place until the connection leaves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub(crate) slot: u32,
    /// 24 bits.
    pub(crate) generation: u32,
}

/// What an event is about. The kind is in the upper eight bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EventKey {
    Wake,
    Listener(u32),
    Parked(Place),
    Queue(u64),
}

impl From<EventKey> for epoll::EventData {
    fn from(token: EventKey) -> Self {
        Self::new_u64(match token {
            EventKey::Wake => 0,
            EventKey::Listener(n) => 1 << 56 | u64::from(n),
            EventKey::Parked(place) => 2 << 56 | u64::from(place.generation) << 32 | u64::from(place.slot),
            EventKey::Queue(id) => 3 << 56 | id,
        })
    }
}

impl From<epoll::EventData> for EventKey {
    fn from(data: epoll::EventData) -> Self {
        let [kind, a, b, c, d, e, f, g] = data.u64().to_be_bytes();
        let low = u32::from_be_bytes([d, e, f, g]);
        match kind {
            0 => Self::Wake,
            1 => Self::Listener(low),
            2 => Self::Parked(Place { slot: low, generation: u32::from_be_bytes([0, a, b, c]) }),
            _ => Self::Queue(u64::from_be_bytes([0, a, b, c, d, e, f, g])),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_survive_the_kernel() {
        for token in [
            EventKey::Wake,
            EventKey::Listener(7),
            EventKey::Parked(Place { slot: 0, generation: 0 }),
            EventKey::Parked(Place { slot: 0xffff_fffe, generation: 0xff_ffff }),
            EventKey::Queue(1),
            EventKey::Queue((1 << 56) - 1),
        ] {
            assert_eq!(EventKey::from(epoll::EventData::from(token)), token);
        }
    }
}
