//! Standard input and output on threads of their own. Reads and writes there
//! block, and O_NONBLOCK would also hit whoever shares the terminal with us.

use std::io::{Read as _, Write as _};

use tokio::sync::{mpsc, oneshot};

/// Bytes read at once: more than anybody types, enough for a paste.
const CHUNK: usize = 4096;

/// What comes in on standard input.
pub(in crate::commands) struct Keys(mpsc::Receiver<Vec<u8>>);

impl Keys {
    /// Starts to read. The thread ends with the program.
    pub(in crate::commands) fn start() -> Keys {
        let (keys, inbox) = mpsc::channel(1);
        std::thread::spawn(move || {
            let mut stdin = std::io::stdin().lock();
            let mut buffer = [0; CHUNK];
            loop {
                match stdin.read(&mut buffer) {
                    Ok(0) => return,
                    Ok(count) => {
                        if keys.blocking_send(buffer[..count].to_vec()).is_err() {
                            return;
                        }
                    }
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                    Err(_) => return,
                }
            }
        });
        Keys(inbox)
    }

    /// The next bytes; `None` at the end.
    pub(in crate::commands) async fn next(&mut self) -> Option<Vec<u8>> {
        self.0.recv().await
    }
}

/// What goes out on standard output.
pub(in crate::commands) struct Pane {
    outbox: Option<mpsc::Sender<Vec<u8>>>,
    done: oneshot::Receiver<()>,
}

impl Pane {
    pub(in crate::commands) fn start() -> Pane {
        let (outbox, mut bytes) = mpsc::channel::<Vec<u8>>(4);
        let (finished, done) = oneshot::channel();
        std::thread::spawn(move || {
            while let Some(bytes) = bytes.blocking_recv() {
                let mut stdout = std::io::stdout().lock();
                if stdout.write_all(&bytes).and_then(|()| stdout.flush()).is_err() {
                    break;
                }
            }
            let _ = finished.send(());
        });
        Pane { outbox: Some(outbox), done }
    }

    /// Waits until there is room for more; false when nobody reads any more.
    pub(in crate::commands) async fn room(&self) -> bool {
        match &self.outbox {
            Some(outbox) => outbox.reserve().await.is_ok(),
            None => false,
        }
    }

    /// Shows bytes, for which [`Self::room`] was there.
    pub(in crate::commands) fn show(&self, bytes: Vec<u8>) {
        if let Some(outbox) = &self.outbox {
            // The only sender has just seen the room.
            let _ = outbox.try_send(bytes);
        }
    }

    /// Waits until all is written.
    pub(in crate::commands) async fn finish(&mut self) {
        self.outbox = None;
        let _ = (&mut self.done).await;
    }
}
