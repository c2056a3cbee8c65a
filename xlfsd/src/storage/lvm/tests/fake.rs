//! A volume group in memory. Carries out the commands that the pool gives, and
//! knows no others.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;

use parking_lot::Mutex;
use serde_json::json;

use super::super::program::{Lvm, LvmError, shown};
use super::*;

pub(super) const EXTENT: u64 = 4 << 20;
pub(super) const THIN: u64 = 100 << 20;
const SIZE: u64 = 200 << 20;
/// What somebody left on the disk.
pub(super) const GARBAGE: u8 = 0xEE;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FakeLv {
    size: u64,
    tags: Vec<String>,
    thin: bool,
    open: bool,
}

#[derive(Debug)]
struct State {
    lvs: BTreeMap<String, FakeLv>,
    commands: Vec<String>,
    /// Commands until the first that fails, and how many then do.
    fail: (usize, usize),
    failed: bool,
    thin_percent: f64,
    zeroing: bool,
}

#[derive(Debug)]
pub(super) struct Fake {
    dev: tempfile::TempDir,
    state: Mutex<State>,
}

impl Fake {
    pub(super) fn new() -> Arc<Self> {
        let state = State {
            lvs: BTreeMap::new(),
            commands: Vec::new(),
            fail: (usize::MAX, 0),
            failed: false,
            thin_percent: 0.0,
            zeroing: true,
        };
        let fake = Self { dev: tempfile::tempdir().unwrap(), state: Mutex::new(state) };
        fs::create_dir(fake.dev().join("vg0")).unwrap();
        fake.add("home", "", false);
        Arc::new(fake)
    }

    pub(super) fn dev(&self) -> &Path {
        self.dev.path()
    }

    /// Adds a logical volume by hand.
    pub(super) fn add(&self, name: &str, tag: &str, thin: bool) {
        let lv = FakeLv { size: EXTENT, tags: vec![tag.to_owned()], thin, open: false };
        self.state.lock().lvs.insert(name.to_owned(), lv);
        self.resize(name, 0, EXTENT, thin);
    }

    pub(super) fn names(&self) -> Vec<String> {
        let state = self.state.lock();
        let mut names: Vec<_> = state.lvs.keys().cloned().chain(["tp".to_owned()]).collect();
        names.sort();
        names
    }

    pub(super) fn state(&self) -> BTreeMap<String, FakeLv> {
        self.state.lock().lvs.clone()
    }

    /// `count` commands fail, after `nth` more have not.
    pub(super) fn fail(&self, nth: usize, count: usize) {
        let mut state = self.state.lock();
        state.fail = (nth, count);
        state.failed = false;
    }

    pub(super) fn has_failed(&self) -> bool {
        self.state.lock().failed
    }

    pub(super) fn count(&self, word: &str) -> usize {
        self.state.lock().commands.iter().filter(|command| command.contains(word)).count()
    }

    pub(super) fn use_thin_pool(&self, percent: f64) {
        self.state.lock().thin_percent = percent;
    }

    pub(super) fn do_not_zero(&self) {
        self.state.lock().zeroing = false;
    }

    pub(super) fn open(&self, name: &str) {
        self.state.lock().lvs.get_mut(name).unwrap().open = true;
    }

    fn node(&self, name: &str) -> PathBuf {
        self.dev().join("vg0").join(name)
    }

    fn resize(&self, name: &str, from: u64, to: u64, thin: bool) {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(self.node(name))
            .unwrap();
        file.set_len(to).unwrap();
        if !thin && to > from {
            file.write_all_at(&vec![GARBAGE; (to - from) as usize], from).unwrap();
        }
    }

    fn list(&self, state: &State) -> String {
        let percent = format!("{:.2}", state.thin_percent);
        let zeroing = if state.zeroing { "twi-aotz--" } else { "twi-aot---" };
        let pool = json!({"lv_name": "tp", "lv_size": THIN.to_string(), "lv_attr": zeroing,
            "lv_tags": "", "data_percent": percent, "pool_lv": ""});
        let rows = state.lvs.iter().map(|(name, lv)| {
            let open = if lv.open { 'o' } else { '-' };
            let attr = match lv.thin {
                true => format!("Vwi-a{open}tz--"),
                false => format!("-wi-a{open}----"),
            };
            json!({"lv_name": name, "lv_size": lv.size.to_string(), "lv_attr": attr,
                "lv_tags": lv.tags.join(","), "data_percent": if lv.thin { "0.00" } else { "" },
                "pool_lv": if lv.thin { "tp" } else { "" }})
        });
        let rows: Vec<_> = rows.chain([pool]).collect();
        json!({"report": [{"lv": rows}]}).to_string()
    }

    fn show(&self, state: &State) -> String {
        let used: u64 = state.lvs.values().filter(|lv| !lv.thin).map(|lv| lv.size).sum();
        let free = SIZE - THIN.min(SIZE) - used;
        json!({"report": [{"vg": [{"vg_size": SIZE.to_string(), "vg_free": free.to_string(),
            "vg_extent_size": EXTENT.to_string()}]}]})
        .to_string()
    }

    fn create(&self, state: &mut State, words: &Words<'_>) {
        let name = words.after("--name");
        let tags = vec![words.after("--addtag").to_owned()];
        assert!(!state.lvs.contains_key(name), "{name} exists");
        if words.has("--snapshot") {
            let origin = words.volume();
            let size = state.lvs[origin].size;
            self.resize(name, 0, size, true);
            let from = File::open(self.node(origin)).unwrap();
            let to = OpenOptions::new().write(true).open(self.node(name)).unwrap();
            copy::copy(&from, &to, size, copy::Before::Zeros, Watch::nobody()).unwrap();
            state.lvs.insert(name.to_owned(), FakeLv { size, tags, thin: true, open: false });
            return;
        }
        let thin = words.has("--thinpool");
        let size = words.bytes(if thin { "--virtualsize" } else { "--size" });
        assert_eq!(size % EXTENT, 0);
        self.resize(name, 0, size, thin);
        state.lvs.insert(name.to_owned(), FakeLv { size, tags, thin, open: false });
    }

    fn change(&self, state: &mut State, words: &Words<'_>) {
        let lv = state.lvs.get_mut(words.volume()).unwrap();
        if words.has("--addtag") {
            lv.tags.push(words.after("--addtag").to_owned());
        }
        if words.has("--deltag") {
            lv.tags.retain(|tag| tag != words.after("--deltag"));
        }
    }

    fn set_size(&self, state: &mut State, words: &Words<'_>) {
        let (name, size) = (words.volume(), words.bytes("--size"));
        let lv = state.lvs.get_mut(name).unwrap();
        assert_eq!(size > lv.size, words.0[0] == "lvextend");
        self.resize(name, lv.size, size, lv.thin);
        lv.size = size;
    }
}

struct Words<'a>(&'a [String]);

impl Words<'_> {
    fn has(&self, word: &str) -> bool {
        self.0.iter().any(|known| known == word)
    }

    fn after(&self, word: &str) -> &str {
        &self.0[self.0.iter().position(|known| known == word).unwrap() + 1]
    }

    fn bytes(&self, word: &str) -> u64 {
        self.after(word).strip_suffix('b').unwrap().parse().unwrap()
    }

    fn volume(&self) -> &str {
        self.0.last().unwrap().strip_prefix("vg0/").unwrap()
    }
}

impl Lvm for Arc<Fake> {
    fn run(&self, arguments: &[String]) -> Result<String, LvmError> {
        let state = &mut *self.state.lock();
        let words = Words(arguments);
        match &mut state.fail {
            (0, 0) => {}
            (0, left) => {
                *left -= 1;
                state.failed = true;
                let (command, status) = (shown(arguments), ExitStatus::from_raw(5 << 8));
                return Err(LvmError::Failed { command, status, said: "no".into() });
            }
            (before, _) => *before -= 1,
        }
        state.commands.push(shown(arguments));
        match arguments[0].as_str() {
            "lvs" => return Ok(self.list(state)),
            "vgs" => return Ok(self.show(state)),
            "lvcreate" => self.create(state, &words),
            "lvchange" => self.change(state, &words),
            "lvextend" | "lvreduce" => self.set_size(state, &words),
            "lvrename" => {
                let [_, _, _, from, to] = arguments else { panic!("{arguments:?}") };
                fs::rename(self.node(from), self.node(to)).unwrap();
                let lv = state.lvs.remove(from).unwrap();
                assert!(state.lvs.insert(to.clone(), lv).is_none());
            }
            "lvremove" => {
                let name = words.volume();
                if state.lvs.remove(name).is_none() {
                    let (command, status) = (shown(arguments), ExitStatus::from_raw(5 << 8));
                    return Err(LvmError::Failed { command, status, said: "none".into() });
                }
                fs::remove_file(self.node(name)).unwrap();
            }
            other => panic!("{other}"),
        }
        Ok(String::new())
    }
}

#[test]
fn a_thick_volume_is_garbage_at_first() {
    let fake = Fake::new();
    assert!(fs::read(fake.node("home")).unwrap().iter().all(|byte| *byte == GARBAGE));
    let _: Vec<PoolVolume> = open(&fake, false).list().unwrap();
}
