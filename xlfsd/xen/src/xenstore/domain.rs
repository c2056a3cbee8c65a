//! What xenstored knows about domains: introducing them and letting them go.

use super::call::Request;
use super::client::Client;
use super::error::{Error, ErrorKind, Op};
use super::wire::{Kind, strings};

impl Client {
    /// Has xenstored serve a domain: map the ring at the frame `mfn` (of the machine; of the
    /// guest for a translated one), bind the event channel `port` of the domain, and fire
    /// `@introduceDomain`. From then on the guest reaches its nodes, so write them first. Only
    /// Dom0 may do this.
    pub async fn introduce(&self, domid: u16, mfn: u64, port: u32) -> Result<(), Error> {
        self.one(introduce(domid, mfn, port)).await.map(drop)
    }

    /// Has xenstored let go of a domain, and fire `@releaseDomain`. A domain that was never
    /// introduced, or is gone, gives ENOENT.
    pub async fn release(&self, domid: u16) -> Result<(), Error> {
        self.one(release(domid)).await.map(drop)
    }

    /// Whether xenstored serves this domain.
    pub async fn is_introduced(&self, domid: u16) -> Result<bool, Error> {
        let (_, payload) =
            self.one(about(Op::IsIntroduced, Kind::IsDomainIntroduced, domid)).await?;
        match strings(&payload).next() {
            Some(b"T") => Ok(true),
            Some(b"F") => Ok(false),
            _ => Err(self.bad_reply(Op::IsIntroduced, domid, "neither T nor F")),
        }
    }

    /// The directory of a domain's nodes, such as `/local/domain/3`, whether or not there is
    /// such a domain.
    pub async fn domain_path(&self, domid: u16) -> Result<String, Error> {
        let (_, payload) = self.one(about(Op::DomainPath, Kind::GetDomainPath, domid)).await?;
        let path = strings(&payload).next().and_then(|path| std::str::from_utf8(path).ok());
        path.map(str::to_owned).ok_or_else(|| self.bad_reply(Op::DomainPath, domid, "not a path"))
    }

    fn bad_reply(&self, op: Op, domid: u16, why: &str) -> Error {
        Error { op, path: name(domid), kind: ErrorKind::BadReply { why: why.to_owned() } }
    }
}

fn name(domid: u16) -> String {
    format!("domain {domid}")
}

fn about(op: Op, kind: Kind, domid: u16) -> Request {
    Request::new(op, kind, name(domid), [domid.to_string()])
}

pub(super) fn introduce(domid: u16, mfn: u64, port: u32) -> Request {
    // The frame number is read as a signed one (atol); no machine has frames beyond that.
    let arguments = [domid.to_string(), mfn.to_string(), port.to_string()];
    Request::new(Op::Introduce, Kind::Introduce, name(domid), arguments)
}

pub(super) fn release(domid: u16) -> Request {
    about(Op::Release, Kind::Release, domid)
}
