//! The commands that the pool gives to lvm(8), as lists of arguments. Pure:
//! `program` runs them.

/// Marks our logical volumes, so that nothing else in the group is ever touched.
pub(super) const TAG: &str = "xlfs";

type Command = Vec<String>;

/// A volume group and names in it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Group<'a>(pub(super) &'a str);

impl Group<'_> {
    /// All logical volumes; `report::Lv` reads the answer.
    pub(super) fn list_volumes(self) -> Command {
        self.report("lvs", "lv_name,lv_size,lv_attr,lv_tags,data_percent,pool_lv")
    }

    /// The group itself; `report::Vg` reads the answer.
    pub(super) fn show(self) -> Command {
        self.report("vgs", "vg_size,vg_free,vg_extent_size")
    }

    /// What the disk held before is not recognised as anything by whoever looks
    /// at new devices, until all of it is overwritten.
    pub(super) fn create_thick(self, lv: &str, size: u64) -> Command {
        let size = bytes(size);
        let wipe = ["--yes", "--wipesignatures", "y", "--zero", "y"];
        self.command(
            "lvcreate",
            &[&wipe[..], &["--addtag", TAG, "--name", lv, "--size", &size]].concat(),
            self.0,
        )
    }

    /// Reads as zeros: there is nothing to wipe.
    pub(super) fn create_thin(self, pool: &str, lv: &str, size: u64) -> Command {
        let size = bytes(size);
        let place = ["--yes", "--wipesignatures", "n", "--thinpool", pool, "--virtualsize", &size];
        self.command("lvcreate", &[&place[..], &["--addtag", TAG, "--name", lv]].concat(), self.0)
    }

    /// A thin volume that shares its blocks with `origin`, and outlives it.
    pub(super) fn snapshot_thin(self, origin: &str, lv: &str) -> Command {
        let how = ["--yes", "--snapshot", "--setactivationskip", "n"];
        self.command(
            "lvcreate",
            &[&how[..], &["--addtag", TAG, "--name", lv]].concat(),
            &self.of(origin),
        )
    }

    pub(super) fn rename(self, from: &str, to: &str) -> Command {
        ["lvrename", "--", self.0, from, to].map(str::to_owned).to_vec()
    }

    pub(super) fn extend(self, lv: &str, size: u64) -> Command {
        self.command("lvextend", &["--size", &bytes(size)], &self.of(lv))
    }

    /// Cuts off what an [`extend`](Self::extend) added.
    pub(super) fn reduce(self, lv: &str, size: u64) -> Command {
        self.command("lvreduce", &["--yes", "--force", "--size", &bytes(size)], &self.of(lv))
    }

    pub(super) fn add_tag(self, lv: &str, tag: &str) -> Command {
        self.command("lvchange", &["--addtag", tag], &self.of(lv))
    }

    pub(super) fn delete_tag(self, lv: &str, tag: &str) -> Command {
        self.command("lvchange", &["--deltag", tag], &self.of(lv))
    }

    pub(super) fn activate(self, lv: &str) -> Command {
        self.command("lvchange", &["--activate", "y", "--ignoreactivationskip"], &self.of(lv))
    }

    pub(super) fn remove(self, lv: &str) -> Command {
        self.command("lvremove", &["--yes"], &self.of(lv))
    }

    fn of(self, lv: &str) -> String {
        format!("{}/{lv}", self.0)
    }

    fn report(self, name: &str, fields: &str) -> Command {
        let how = ["--reportformat", "json", "--units", "b", "--nosuffix", "--options", fields];
        self.command(name, &how, self.0)
    }

    fn command(self, name: &str, options: &[&str], object: &str) -> Command {
        let options = options.iter().copied();
        [name].into_iter().chain(options).chain(["--", object]).map(str::to_owned).collect()
    }
}

fn bytes(size: u64) -> String {
    format!("{size}b")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_what_lvm_takes() {
        let group = Group("vg0");
        let line = |command: Command| command.join(" ");
        for (command, expected) in [
            (
                group.list_volumes(),
                "lvs --reportformat json --units b --nosuffix \
                 --options lv_name,lv_size,lv_attr,lv_tags,data_percent,pool_lv -- vg0",
            ),
            (
                group.create_thick("xlfs-a", 8 << 20),
                "lvcreate --yes --wipesignatures y --zero y --addtag xlfs --name xlfs-a \
                 --size 8388608b -- vg0",
            ),
            (
                group.create_thin("tp", "xlfs-a", 8 << 20),
                "lvcreate --yes --wipesignatures n --thinpool tp --virtualsize 8388608b \
                 --addtag xlfs --name xlfs-a -- vg0",
            ),
            (
                group.snapshot_thin("xlfs-a", "xlfs-b"),
                "lvcreate --yes --snapshot --setactivationskip n --addtag xlfs --name xlfs-b \
                 -- vg0/xlfs-a",
            ),
            (group.rename("xlfs-new-a", "xlfs-a"), "lvrename -- vg0 xlfs-new-a xlfs-a"),
            (group.extend("xlfs-a", 1024), "lvextend --size 1024b -- vg0/xlfs-a"),
            (group.remove("xlfs-a"), "lvremove --yes -- vg0/xlfs-a"),
        ] {
            assert_eq!(line(command), expected);
        }
    }
}
