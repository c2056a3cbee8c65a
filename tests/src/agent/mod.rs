//! The lab's agent: what runs in Dom0 and does what the lab asks.
//!
//! It is a mode of the `lab` binary itself (`lab agent`), copied into the
//! initramfs, so that both ends of the [wire](crate::wire) always come from one
//! build. One thread reads requests; each program it runs has threads of its
//! own; all answers leave through one lock.

mod child;
mod connect;

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::wire::{CHUNK, Frame, PORT_NAME, PROTOCOL, Reply, Request};

/// The answering side of the stream, shared by all threads.
#[derive(Debug, Clone)]
struct Answers(Arc<Mutex<File>>);

impl Answers {
    /// A failed write means that the lab is gone; there is nobody to tell.
    fn send(&self, id: u64, head: Reply, body: &[u8]) {
        let frame = Frame { id, head, body: body.to_vec() };
        if let Err(error) = frame.write(&mut *lock(&self.0)) {
            eprintln!("lab-agent: answer to {id} lost: {error}");
        }
    }

    fn settle(&self, id: u64, result: io::Result<()>) {
        match result {
            Ok(()) => self.send(id, Reply::Done, &[]),
            Err(error) => self.send(id, Reply::Failed { why: error.to_string() }, &[]),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Serves the lab's port until the stream breaks. `port` overrides the search.
pub fn serve(port: Option<&Path>) -> io::Result<()> {
    let path = match port {
        Some(path) => path.to_owned(),
        None => find_port(Duration::from_secs(30))?,
    };
    serve_stream(OpenOptions::new().read(true).write(true).open(&path)?)
}

/// Serves a stream that is open already.
pub(crate) fn serve_stream(stream: File) -> io::Result<()> {
    let answers = Answers(Arc::new(Mutex::new(stream.try_clone()?)));
    answers.send(0, Reply::Ready { protocol: PROTOCOL }, &[]);
    let children: child::Children = Arc::default();
    let connections: connect::Connections = Arc::default();
    let mut requests = stream;
    loop {
        let frame = Frame::<Request>::read(&mut requests)?;
        serve_one(frame, &answers, &children, &connections);
    }
}

fn serve_one(
    frame: Frame<Request>,
    answers: &Answers,
    children: &child::Children,
    connections: &connect::Connections,
) {
    let Frame { id, head, body } = frame;
    match head {
        Request::Spawn { argv, env, cwd, terminal, stdin } => {
            let order = child::Order { argv, env, cwd, terminal, stdin };
            if let Err(error) = child::start(id, order, answers, children) {
                answers.send(id, Reply::Failed { why: error.to_string() }, &[]);
            }
        }
        Request::Connect { target } => connect::start(id, target, answers, connections),
        Request::Stdin => {
            if let Some(feed) = lock(connections).get(&id) {
                // The connection may have ended meanwhile.
                let _ = feed.send(body);
            } else {
                child::feed(id, body, children);
            }
        }
        Request::Signal { signal } => child::signal(id, signal, children),
        Request::Put { path, mode, append } => {
            answers.settle(id, put(Path::new(&path), mode, append, &body));
        }
        Request::Get { path } => {
            let answers = answers.clone();
            thread::spawn(move || {
                if let Err(error) = get(id, Path::new(&path), &answers) {
                    answers.send(id, Reply::Failed { why: error.to_string() }, &[]);
                }
            });
        }
    }
}

fn put(path: &Path, mode: u32, append: bool, body: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .append(append)
        .truncate(!append)
        .mode(mode)
        .open(path)?;
    file.write_all(body)
}

fn get(id: u64, path: &Path, answers: &Answers) -> io::Result<()> {
    let mut file = File::open(path)?;
    let mut chunk = vec![0; CHUNK];
    loop {
        let length = file.read(&mut chunk)?;
        let part = chunk.get(..length).unwrap_or_default();
        answers.send(id, Reply::Data { last: length == 0 }, part);
        if length == 0 {
            return Ok(());
        }
    }
}

/// Without udev there is no /dev/virtio-ports: sysfs tells which port is ours.
fn find_port(patience: Duration) -> io::Result<PathBuf> {
    let until = Instant::now() + patience;
    loop {
        for entry in fs::read_dir("/sys/class/virtio-ports").into_iter().flatten().flatten() {
            let name = fs::read_to_string(entry.path().join("name")).unwrap_or_default();
            if name.trim() == PORT_NAME {
                return Ok(Path::new("/dev").join(entry.file_name()));
            }
        }
        if Instant::now() > until {
            let why = format!("no virtio-serial port is named {PORT_NAME}");
            return Err(io::Error::new(io::ErrorKind::NotFound, why));
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// What goes on now, each known by its conversation.
type ById<T> = Arc<Mutex<HashMap<u64, T>>>;
