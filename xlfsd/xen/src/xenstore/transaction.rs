//! Several changes that others see all at once or not at all.
//!
//! xlfs needs them rarely: before a domain is introduced nobody else touches its nodes, and on
//! xenstored 4.2.5 a transaction copies the whole database and fails when anything anywhere
//! changed. A transaction belongs to the connection it was started on, and ends with it.

use std::future::Future;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::backoff::Backoff;
use super::call::Request;
use super::client::Client;
use super::error::{Code, Error, ErrorKind, Op};
use super::session::{abort, transaction_id};
use super::view::View;
use super::wire::Kind;

/// The first and the longest pause before a transaction that met other writers is tried again.
const PAUSES: [Duration; 2] = [Duration::from_millis(1), Duration::from_millis(50)];

/// An open transaction. All operations of [`View`] see, and change, its copy of the tree.
///
/// Clones are the same transaction. Dropping the last one without a commit aborts it.
#[derive(Clone, Debug)]
pub struct Transaction {
    open: Arc<Open>,
}

#[derive(Debug)]
struct Open {
    view: View,
    ended: AtomicBool,
}

impl Deref for Transaction {
    type Target = View;

    fn deref(&self) -> &View {
        &self.open.view
    }
}

impl Client {
    /// Runs `body` in a transaction and commits it. When other writers were faster, all of it
    /// is done again, after a short pause, up to the number of attempts of the
    /// [`Config`](super::Config). When `body` fails, the transaction is aborted and its error
    /// returned.
    ///
    /// `body` may run several times: it must do nothing but read and write this transaction.
    /// An error after the commit was sent ([`Error::may_have_happened`]) leaves open whether it
    /// took place.
    pub async fn transaction<T, E, F>(&self, mut body: impl FnMut(Transaction) -> F) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>>,
        E: From<Error>,
    {
        let attempts = self.shared.core.config.transaction_attempts;
        let mut pauses = Backoff::new(PAUSES[0], PAUSES[1]);
        for _ in 0..attempts {
            let transaction = self.begin().await?;
            let value = body(transaction.clone()).await?;
            match transaction.commit().await {
                Ok(()) => return Ok(value),
                Err(error) if error.code() == Some(&Code::Again) => {
                    self.shared.core.counters.transaction_conflicts.add(1);
                    tokio::time::sleep(pauses.next()).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(failure(ErrorKind::Conflict { attempts }).into())
    }

    /// Starts a transaction that the caller commits, once, with [`Transaction::commit`].
    pub async fn begin(&self) -> Result<Transaction, Error> {
        let request = Request::new(Op::Transaction, Kind::TransactionStart, "/", [""]);
        let (call, payload) = self.one(request).await?;
        let tx_id = transaction_id(&payload).ok_or_else(|| {
            failure(ErrorKind::BadReply { why: "no transaction's number".to_owned() })
        })?;
        self.shared.core.counters.transactions.add(1);
        let transaction = Some((tx_id, call.generation()));
        let view = View { transaction, ..View::clone(self) };
        Ok(Transaction { open: Arc::new(Open { view, ended: false.into() }) })
    }
}

impl Transaction {
    /// Makes the changes visible to all. EAGAIN means that other writers were faster and
    /// nothing has changed.
    pub async fn commit(self) -> Result<(), Error> {
        let Some((tx_id, _)) = self.transaction else {
            return Err(failure(ErrorKind::Closed));
        };
        let mut request = Request::new(Op::Transaction, Kind::TransactionEnd, "/", ["T"]);
        request.tx_id = tx_id;
        // Whatever comes of it, xenstored has ended the transaction: a second end would be an
        // error, and on the device of old kernels worse. What is never sent ends with the
        // connection, or below.
        self.open.ended.store(true, Ordering::Release);
        let result = self.one(request).await;
        if let Err(Error { kind: ErrorKind::TimedOut { sent: false, .. }, .. }) = result {
            self.open.ended.store(false, Ordering::Release);
        }
        result.map(drop)
    }

    /// Forgets the changes.
    pub fn abort(self) {}
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Some((tx_id, generation)) = self.view.transaction
            && !*self.ended.get_mut()
        {
            self.view.shared.send_and_forget(abort(tx_id, generation));
        }
    }
}

fn failure(kind: ErrorKind) -> Error {
    Error { op: Op::Transaction, path: "/".to_owned(), kind }
}
