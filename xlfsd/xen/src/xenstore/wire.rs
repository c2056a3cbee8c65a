//! The wire: `struct xsd_sockmsg` and the messages behind it (`xen/include/public/io/xs_wire.h`).
//!
//! Every message is a header of four 32-bit words (type, request id, transaction id, payload
//! length) and a payload of at most [`PAYLOAD_MAX`] bytes. The words are in the machine's own
//! order; xlfs runs on x86, so they are little-endian here.
//!
//! Nothing in this file does I/O or can panic: [`Decoder`] takes whatever bytes arrive and
//! gives frames or says why the stream cannot be believed any more.

use bytes::{Buf, Bytes, BytesMut};

/// Bytes of a message's header (`sizeof(struct xsd_sockmsg)`).
pub const HEADER_LEN: usize = 16;
/// Most bytes a payload may have in either direction (`XENSTORE_PAYLOAD_MAX`); xenstored ends
/// the connection of a client that sends more.
pub const PAYLOAD_MAX: usize = 4096;
/// Most bytes of payload that are accepted from xenstored. The protocol says [`PAYLOAD_MAX`],
/// but oxenstored (4.17, for one) sends a directory of any length in one message. With its
/// default quotas a guest can bring its own directories to about 2 MiB; whoever announces more
/// than this talks nonsense.
pub const REPLY_MAX: usize = 4 << 20;
/// Most bytes of a path that starts with `/` (`XENSTORE_ABS_PATH_MAX`).
pub const ABS_PATH_MAX: usize = 3072;
/// Most bytes of a path that does not start with `/` (`XENSTORE_REL_PATH_MAX`); it also limits
/// the names of special watches.
pub const REL_PATH_MAX: usize = 2048;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $value:literal,)*) => {
        /// `enum xsd_sockmsg_type`: what a message asks for, or answers.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u32)]
        pub enum Kind { $($(#[$doc])* $name = $value,)* }

        impl Kind {
            /// Every kind there is.
            pub const ALL: &[Kind] = &[$(Kind::$name,)*];

            /// The kind a header's first word stands for.
            pub fn from_raw(raw: u32) -> Option<Kind> {
                match raw { $($value => Some(Kind::$name),)* _ => None }
            }
        }
    };
}

kinds! {
    /// `XS_CONTROL`, called `XS_DEBUG` in 4.2.
    Control = 0,
    /// `XS_DIRECTORY`
    Directory = 1,
    /// `XS_READ`
    Read = 2,
    /// `XS_GET_PERMS`
    GetPerms = 3,
    /// `XS_WATCH`
    Watch = 4,
    /// `XS_UNWATCH`
    Unwatch = 5,
    /// `XS_TRANSACTION_START`
    TransactionStart = 6,
    /// `XS_TRANSACTION_END`
    TransactionEnd = 7,
    /// `XS_INTRODUCE`
    Introduce = 8,
    /// `XS_RELEASE`
    Release = 9,
    /// `XS_GET_DOMAIN_PATH`
    GetDomainPath = 10,
    /// `XS_WRITE`
    Write = 11,
    /// `XS_MKDIR`
    Mkdir = 12,
    /// `XS_RM`
    Rm = 13,
    /// `XS_SET_PERMS`
    SetPerms = 14,
    /// `XS_WATCH_EVENT`: only ever sent by xenstored, unasked.
    WatchEvent = 15,
    /// `XS_ERROR`: the answer to a request that failed; its payload is an errno's name.
    Error = 16,
    /// `XS_IS_DOMAIN_INTRODUCED`
    IsDomainIntroduced = 17,
    /// `XS_RESUME`
    Resume = 18,
    /// `XS_SET_TARGET`
    SetTarget = 19,
    /// `XS_RESTRICT`, gone since 4.10.
    Restrict = 20,
    /// `XS_RESET_WATCHES`
    ResetWatches = 21,
    /// `XS_DIRECTORY_PART`, since 4.9.
    DirectoryPart = 22,
}

impl Kind {
    /// Whether it reads or changes nodes, and so can be part of a transaction.
    pub fn is_about_nodes(self) -> bool {
        use Kind::*;
        matches!(self, Directory | DirectoryPart | Read | Write | Mkdir | Rm | GetPerms | SetPerms)
    }
}

/// A message's header, as it stands on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// `type`, not yet checked against [`Kind`].
    pub kind: u32,
    /// `req_id`: chosen by the client, echoed in the reply, 0 in watch events.
    pub req_id: u32,
    /// `tx_id`: 0 outside of transactions.
    pub tx_id: u32,
    /// `len`: bytes of payload that follow.
    pub len: u32,
}

impl Header {
    /// The header's sixteen bytes.
    pub fn encode(self) -> [u8; HEADER_LEN] {
        let mut raw = [0; HEADER_LEN];
        for (word, value) in
            raw.chunks_exact_mut(4).zip([self.kind, self.req_id, self.tx_id, self.len])
        {
            word.copy_from_slice(&value.to_le_bytes());
        }
        raw
    }

    /// Reads sixteen bytes; every value of them is a header.
    pub fn decode(raw: &[u8; HEADER_LEN]) -> Header {
        let mut words = [0u32; 4];
        for (word, bytes) in words.iter_mut().zip(raw.chunks_exact(4)) {
            *word = bytes.iter().rev().fold(0, |value, byte| value << 8 | u32::from(*byte));
        }
        let [kind, req_id, tx_id, len] = words;
        Header { kind, req_id, tx_id, len }
    }
}

/// A whole message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What it is.
    pub kind: Kind,
    /// Which request it belongs to.
    pub req_id: u32,
    /// Which transaction it belongs to; 0 for none.
    pub tx_id: u32,
    /// What it carries.
    pub payload: Bytes,
}

/// Appends a message to `out`. The caller has checked the payload against the limit of the
/// transport; `None`, with `out` untouched, when it is longer than any transport allows.
#[must_use = "a message that is too long is not written"]
pub fn encode(
    out: &mut Vec<u8>,
    kind: Kind,
    req_id: u32,
    tx_id: u32,
    payload: &[u8],
) -> Option<usize> {
    let len = u32::try_from(payload.len()).ok().filter(|_| payload.len() <= PAYLOAD_MAX)?;
    out.extend_from_slice(&Header { kind: kind as u32, req_id, tx_id, len }.encode());
    out.extend_from_slice(payload);
    Some(HEADER_LEN + payload.len())
}

/// Why a stream of messages cannot be believed any more. There is no way to find the next
/// message behind a bad header, so each of these ends the connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The length field is above [`REPLY_MAX`].
    #[error("a message announces {len} bytes of payload, at most {max} make sense", max = REPLY_MAX)]
    TooLong {
        /// What the length field says.
        len: u32,
    },
    /// The type field is none of [`Kind`].
    #[error("a message has the unknown type {raw}")]
    UnknownKind {
        /// What the type field says.
        raw: u32,
    },
}

/// Turns bytes, in pieces of any size, into frames.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: BytesMut,
}

impl Decoder {
    /// Where a transport puts the bytes it reads. It grows by what is read at once only: a whole
    /// frame is taken out before more is asked for.
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// The next whole frame, or `None` when more bytes are needed.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        let Some(raw) = self.buffer.first_chunk::<HEADER_LEN>() else { return Ok(None) };
        let header = Header::decode(raw);
        let len = usize::try_from(header.len)
            .ok()
            .filter(|len| *len <= REPLY_MAX)
            .ok_or(FrameError::TooLong { len: header.len })?;
        let kind =
            Kind::from_raw(header.kind).ok_or(FrameError::UnknownKind { raw: header.kind })?;
        if self.buffer.len() < HEADER_LEN + len {
            return Ok(None);
        }
        self.buffer.advance(HEADER_LEN);
        let payload = self.buffer.split_to(len).freeze();
        Ok(Some(Frame { kind, req_id: header.req_id, tx_id: header.tx_id, payload }))
    }
}

/// The strings of a payload: each ends with a nul; what stands behind the last nul (a reply of
/// some servers has no nul at its end) is a string too, unless it is empty.
pub fn strings(payload: &[u8]) -> impl Iterator<Item = &[u8]> {
    let body = payload.strip_suffix(&[0]).unwrap_or(payload);
    let empty = payload.is_empty();
    body.split(|byte| *byte == 0).filter(move |_| !empty)
}

/// A payload of nul-terminated strings.
pub fn join<S: AsRef<[u8]>>(strings: impl IntoIterator<Item = S>) -> Vec<u8> {
    let mut payload = Vec::new();
    for string in strings {
        payload.extend_from_slice(string.as_ref());
        payload.push(0);
    }
    payload
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
