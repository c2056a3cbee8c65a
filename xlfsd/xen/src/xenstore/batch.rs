//! Many changes, one wait.
//!
//! xenstored handles one connection's requests one after the other (see the module's head), so
//! a batch is carried out in the order in which it was built. It is not a transaction: others
//! may see it half done, and a request that fails does not keep the later ones from being
//! carried out, because they have been sent already.

use super::call::Request;
use super::domain;
use super::error::{Code, Error, ErrorKind, Op};
use super::path::check_node;
use super::perm::Perm;
use super::view::View;
use super::wire::Kind;

/// Changes to send in order. Nothing happens before [`Batch::run`].
#[must_use = "a batch does nothing until it is run"]
#[derive(Debug)]
pub struct Batch<'a> {
    view: &'a View,
    requests: Vec<Request>,
    /// The first request that cannot be right; then nothing is sent.
    wrong: Option<Error>,
}

impl<'a> Batch<'a> {
    pub(super) fn new(view: &'a View) -> Batch<'a> {
        Batch { view, requests: Vec::new(), wrong: None }
    }

    fn push(mut self, request: Request, checked: Result<(), ErrorKind>) -> Self {
        match checked {
            Ok(()) => self.requests.push(request),
            Err(kind) if self.wrong.is_none() => self.wrong = Some(request.error(kind)),
            Err(_) => {}
        }
        self
    }

    /// Like [`View::write`].
    pub fn write(self, path: &str, value: impl AsRef<[u8]>) -> Self {
        let mut request = Request::new(Op::Write, Kind::Write, path, [path]);
        // The value is the rest of the payload, without a nul.
        request.payload.extend_from_slice(value.as_ref());
        self.push(request, check_node(path))
    }

    /// Like [`View::mkdir`].
    pub fn mkdir(self, path: &str) -> Self {
        let request = Request::new(Op::Mkdir, Kind::Mkdir, path, [path]);
        self.push(request, check_node(path))
    }

    /// Like [`View::rm`]; a node that does not exist is no error.
    pub fn rm(self, path: &str) -> Self {
        let request = Request::new(Op::Rm, Kind::Rm, path, [path]);
        self.push(request, check_node(path))
    }

    /// Like [`View::set_perms`].
    pub fn set_perms(self, path: &str, perms: &[Perm]) -> Self {
        let strings =
            std::iter::once(path.to_owned()).chain(perms.iter().map(|perm| perm.to_string()));
        let request = Request::new(Op::SetPerms, Kind::SetPerms, path, strings);
        let checked = if perms.is_empty() {
            Err(ErrorKind::BadArgument { why: "a node needs at least one permission, its owner's" })
        } else {
            check_node(path)
        };
        self.push(request, checked)
    }

    /// Like [`Client::introduce`](super::Client::introduce). Carried out after everything
    /// before it in the batch.
    pub fn introduce(self, domid: u16, mfn: u64, port: u32) -> Self {
        self.push(domain::introduce(domid, mfn, port), Ok(()))
    }

    /// Like [`Client::release`](super::Client::release).
    pub fn release(self, domid: u16) -> Self {
        self.push(domain::release(domid), Ok(()))
    }

    /// How many requests it holds.
    pub fn len(&self) -> usize {
        self.requests.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// Sends everything and waits for all answers: one round trip. The error is that of the
    /// first request that failed, and names its path; later ones may have succeeded.
    pub async fn run(self) -> Result<(), Error> {
        self.run_each().await?.into_iter().collect()
    }

    /// Like [`Batch::run`], with a result for each request, in order. The outer error means
    /// that a request cannot be right (then nothing was sent), or that no answer came for the
    /// whole deadline (then it names the first request without one).
    pub async fn run_each(self) -> Result<Vec<Result<(), Error>>, Error> {
        if let Some(wrong) = self.wrong {
            return Err(wrong);
        }
        let (call, answers) = self.view.run(self.requests).await?;
        let each = call.requests.iter().zip(answers).map(|(request, answer)| match answer {
            Ok(_) => Ok(()),
            Err(ErrorKind::Refused(Code::NoEntry)) if request.kind == Kind::Rm => Ok(()),
            Err(kind) => Err(request.error(kind)),
        });
        Ok(each.collect())
    }
}
