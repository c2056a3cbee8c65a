//! Archives as GNU tar makes them become file systems that e2fsck finds nothing
//! in and debugfs reads; hostile ones are refused.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::*;

const LIMIT: u64 = 4 << 30;

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).env("LC_ALL", "C").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let wrong = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {said}{wrong}");
    said
}

fn convert(archive: &Path, image: &Path) -> Result<Made, RootfsError> {
    let to = File::options().read(true).write(true).create_new(true).open(image).unwrap();
    let archive = Archive::open(File::open(archive).unwrap()).unwrap().expect("an archive");
    archive.convert(&to, &Digest::new([7; 32]), LIMIT, &CancellationToken::new())
}

/// Nothing to repair, and nothing that would be repaired in silence.
fn check_clean(image: &Path) {
    let said = run("/usr/sbin/e2fsck", &["-f", "-n", image.to_str().unwrap()]);
    let lines: Vec<_> = said.lines().filter(|line| !line.starts_with("Pass ")).collect();
    assert_eq!(lines.len(), 1, "{said}");
}

fn debugfs(image: &Path, request: &str) -> String {
    run("/usr/sbin/debugfs", &["-R", request, image.to_str().unwrap()])
}

/// A root with odd things, as an archive. Only root can make device nodes: these
/// are given to tar in another way.
fn odd_root(dir: &Path) -> PathBuf {
    let root = dir.join("root");
    fs::create_dir_all(root.join("bin/deep/er")).unwrap();
    fs::write(root.join("bin/ping"), "#!ping").unwrap();
    fs::set_permissions(root.join("bin/ping"), fs::Permissions::from_mode(0o4711)).unwrap();
    fs::hard_link(root.join("bin/ping"), root.join("bin/deep/er/pong")).unwrap();
    symlink("bin/ping", root.join("short")).unwrap();
    symlink("x".repeat(59), root.join("inline")).unwrap();
    symlink("../".repeat(40) + "far", root.join("long")).unwrap();
    fs::write(root.join("a name with \"quotes\" and \n"), "odd").unwrap();
    fs::write(root.join("n".repeat(255)), "long name").unwrap();
    fs::write(root.join("empty"), "").unwrap();
    let large: Vec<u8> = (0..5_000_000_u32).map(|n| (n / 7) as u8).collect();
    fs::write(root.join("large"), &large).unwrap();
    let sparse = File::create(root.join("sparse")).unwrap();
    sparse.set_len(300 << 20).unwrap();
    sparse.write_all_at(b"in the middle", (200 << 20) + 5000).unwrap();
    // More extents than a block of them has.
    let holes = File::create(root.join("holes")).unwrap();
    holes.set_len(2000 * 16384).unwrap();
    for number in 0..2000 {
        holes.write_all_at(b"piece", number * 16384 + 8192).unwrap();
    }
    fs::create_dir(root.join("many")).unwrap();
    for number in 0..700 {
        fs::write(root.join(format!("many/file-{number:04}")), number.to_string()).unwrap();
    }
    run("/usr/bin/mkfifo", &[root.join("pipe").to_str().unwrap()]);
    root
}

fn tar(dir: &Path, root: &Path, name: &str, options: &[&str]) -> PathBuf {
    let archive = dir.join(name);
    let (archive_text, root_text) = (archive.to_str().unwrap(), root.to_str().unwrap());
    let mut arguments = vec!["-cf", archive_text, "-C", root_text];
    arguments.extend(options);
    arguments.push(".");
    run("/usr/bin/tar", &arguments);
    archive
}

#[test]
fn a_root_comes_whole_in_every_form() {
    let dir = tempfile::tempdir().unwrap();
    let root = odd_root(dir.path());
    let owner: &[&str] = &["--owner=daemon:70001", "--group=mail:65540", "--mtime=@5000000000"];
    let forms: [(&str, &[&str]); 4] = [
        ("gnu.tar", &["--format=gnu", "--sparse"]),
        ("pax.tar.gz", &["--format=pax", "-z"]),
        ("pax.tar.xz", &["--format=pax", "-J", "--exclude=./sparse"]),
        ("gnu.tar.zst", &["--format=gnu", "--zstd", "--exclude=./sparse"]),
    ];
    for (name, options) in forms {
        let image = dir.path().join(format!("{name}.img"));
        let archive = tar(dir.path(), &root, name, &[owner, options].concat());
        let made = convert(&archive, &image).unwrap();
        assert_eq!(fs::metadata(&image).unwrap().len(), made.size);
        assert!(made.summary.starts_with("ext4, made of a tar"), "{}", made.summary);
        check_clean(&image);
        let stat = debugfs(&image, "stat /bin/ping");
        assert!(stat.contains("Mode:  04711"), "{stat}");
        assert!(stat.contains("User: 70001   Group: 65540"), "{stat}");
        assert!(stat.contains("Links: 2"), "{stat}");
        assert!(stat.contains("mtime: 0x2a05f200:00000001"), "the year 2128: {stat}");
        assert_eq!(debugfs(&image, "cat /bin/deep/er/pong"), "#!ping");
        assert_eq!(debugfs(&image, "cat /many/file-0699"), "699");
        assert_eq!(debugfs(&image, &format!("cat /{}", "n".repeat(255))), "long name");
        for (link, aim) in [("short", "bin/ping".into()), ("inline", "x".repeat(59))] {
            let stat = debugfs(&image, &format!("stat /{link}"));
            assert!(stat.contains(&format!("Fast link dest: \"{aim}\"")), "{stat}");
        }
        assert_eq!(debugfs(&image, "cat /long"), "../".repeat(40) + "far");
        assert!(debugfs(&image, "stat /pipe").contains("Type: FIFO"));
        let out = dir.path().join("out");
        let excluded = options.contains(&"--exclude=./sparse");
        let files = ["large", "empty", "holes", "sparse"];
        for file in &files[..files.len() - usize::from(excluded)] {
            debugfs(&image, &format!("dump /{file} {}", out.display()));
            assert!(fs::read(&out).unwrap() == fs::read(root.join(file)).unwrap(), "{file}");
        }
        let listed = debugfs(&image, "ls -p /many");
        assert_eq!(listed.matches("file-").count(), 700);
        if name == "gnu.tar" {
            // The hole of the file is one in the file system too.
            assert!(debugfs(&image, "stat /sparse").contains("Blockcount: 8"));
            let extents = debugfs(&image, "dump_extents /holes");
            assert!(extents.contains(" 2/ 2 ") || extents.contains("1/ 1"), "{extents}");
        }
    }
}

/// As a guest does it on a larger disk: to more descriptors than it has blocks for.
#[test]
fn an_image_can_grow() {
    let dir = tempfile::tempdir().unwrap();
    let archive = python(dir.path(), "add('a', data=b'1')");
    let image = dir.path().join("image");
    convert(&archive, &image).unwrap();
    let text = image.to_str().unwrap();
    run("/usr/sbin/e2fsck", &["-f", "-y", text]);
    run("/usr/sbin/resize2fs", &[text, "40G"]);
    check_clean(&image);
    assert_eq!(debugfs(&image, "cat /a"), "1");
}

/// Twice the same bytes: the image has the digest of its archive.
#[test]
fn one_archive_makes_one_image() {
    let dir = tempfile::tempdir().unwrap();
    let archive = tar(dir.path(), &odd_root(dir.path()), "a.tar", &[]);
    let (one, two) = (dir.path().join("1"), dir.path().join("2"));
    convert(&archive, &one).unwrap();
    convert(&archive, &two).unwrap();
    run("/usr/bin/cmp", &[one.to_str().unwrap(), two.to_str().unwrap()]);
}

/// An archive of Python's tarfile, which makes what only root could put on a disk.
fn python(dir: &Path, script: &str) -> PathBuf {
    let path = dir.join("made.tar");
    let begin = "import tarfile, io, sys\n\
        t = tarfile.open(sys.argv[1], 'w', format=tarfile.PAX_FORMAT)\n\
        def add(name, type=tarfile.REGTYPE, data=b'', **facts):\n    \
            i = tarfile.TarInfo(name); i.type = type; i.size = len(data)\n    \
            for key, value in facts.items(): setattr(i, key, value)\n    \
            t.addfile(i, io.BytesIO(data))\n";
    let mut child = Command::new("/usr/bin/python3")
        .args(["-", path.to_str().unwrap()])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let text = format!("{begin}{script}\nt.close()\n");
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "{script}");
    path
}

#[test]
fn devices_and_attributes_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let script = "\
add('dev/null', tarfile.CHRTYPE, devmajor=1, devminor=3, mode=0o666)\n\
add('dev/xvda', tarfile.BLKTYPE, devmajor=202, devminor=70000, mode=0o660, gid=6)\n\
cap = '\\x01\\x00\\x00\\x02\\x00\\x20\\x00\\x00' + '\\x00' * 12\n\
add('ping', data=b'p', pax_headers={'SCHILY.xattr.security.capability': cap, \
'SCHILY.xattr.user.b': 'value', 'SCHILY.xattr.user.empty': '', \
'SCHILY.xattr.system.posix_acl_access': 'x'})";
    let archive = python(dir.path(), script);
    let image = dir.path().join("image");
    let made = convert(&archive, &image).unwrap();
    assert!(made.summary.ends_with("6 files; 1 ACLs and the like were left out"), "{made:?}");
    check_clean(&image);
    let null = debugfs(&image, "stat /dev/null");
    assert!(null.contains("Type: character special    Mode:  0666"), "{null}");
    assert!(null.contains("Device major/minor number: 01:03"), "{null}");
    let xvda = debugfs(&image, "stat /dev/xvda");
    assert!(xvda.contains("(hex ca:11170)") || xvda.contains("202:70000"), "{xvda}");
    let xattrs = debugfs(&image, "ea_list /ping");
    assert!(xattrs.contains("user.b (5) = \"value\""), "{xattrs}");
    assert!(xattrs.contains("user.empty (0)"), "{xattrs}");
    assert!(xattrs.contains("security.capability (20) = 01 00 00 02 00 20 00 00"), "{xattrs}");
}

#[test]
fn what_leads_elsewhere_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let cases = [
        ("add('a/../../etc/passwd')", "(\"..\")"),
        ("add('l', tarfile.SYMTYPE, linkname='/etc')\nadd('l/passwd')", "symbolic link"),
        ("add('h', tarfile.LNKTYPE, linkname='/etc/passwd')", "not in the archive"),
        ("add('f')\nadd('f/x')", "no folder"),
        ("add('d/x')\nadd('d')", "not empty"),
        ("add('d', tarfile.DIRTYPE)\nadd('h', tarfile.LNKTYPE, linkname='d')", "to a folder"),
        ("add('n' * 256)", "over 255 bytes"),
        ("add('x', pax_headers={'SCHILY.xattr.user.a': 'x' * 5000})", "over 4000 bytes"),
        ("add('x', b'Z')", "not known"),
    ];
    for (script, words) in cases {
        let archive = python(dir.path(), script);
        let image = dir.path().join("image");
        let error = convert(&archive, &image).unwrap_err();
        let told = format!("{:#}", crate::problem::Problem::internal("x").cause(&error));
        assert!(told.contains(words), "{script}: {told}");
        fs::remove_file(image).unwrap();
    }
    // What only looks dangerous: an absolute path, and a later file of one name.
    let archive = python(dir.path(), "add('/abs')\nadd('two', data=b'1')\nadd('./two', data=b'2')");
    let image = dir.path().join("image");
    convert(&archive, &image).unwrap();
    check_clean(&image);
    assert_eq!(debugfs(&image, "cat /two"), "2");
}

#[test]
fn what_has_no_end_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("image");
    let to = File::options().read(true).write(true).create_new(true).open(&image).unwrap();
    let root = dir.path().join("root");
    fs::create_dir(&root).unwrap();
    // A hole of a terabyte, and 300 MiB of zeros in a few KiB.
    for (size, options) in [(1_u64 << 40, ["--format=gnu", "--sparse"]), (300 << 20, ["-z", "-h"])]
    {
        File::create(root.join("f")).unwrap().set_len(size).unwrap();
        let archive = tar(dir.path(), &root, "bomb", &options);
        assert!(fs::metadata(&archive).unwrap().len() < 1 << 20);
        let archive = Archive::open(File::open(archive).unwrap()).unwrap().unwrap();
        let (digest, cancel) = (Digest::new([7; 32]), CancellationToken::new());
        let error = archive.convert(&to, &digest, 200 << 20, &cancel).unwrap_err();
        assert!(matches!(error, RootfsError::TooLarge(_)), "{error}");
    }
    let archive = python(dir.path(), "add('a', data=b'x' * 100000)");
    let archive = Archive::open(File::open(archive).unwrap()).unwrap().unwrap();
    let cancel = CancellationToken::new();
    cancel.cancel();
    let error = archive.convert(&to, &Digest::new([7; 32]), LIMIT, &cancel).unwrap_err();
    assert!(matches!(error, RootfsError::Cancelled), "{error}");
}

/// Cut anywhere and changed anywhere: refused, or a sound file system of less.
#[test]
fn broken_archives_do_no_harm() {
    let dir = tempfile::tempdir().unwrap();
    let script = "add('d', tarfile.DIRTYPE)\nadd('d/f' * 60, data=b'x' * 1000)\n\
        add('s', tarfile.SYMTYPE, linkname='d')\nadd('x', pax_headers={'SCHILY.xattr.user.a': 'b'})";
    let whole = fs::read(python(dir.path(), script)).unwrap();
    let (broken, image) = (dir.path().join("broken"), dir.path().join("image"));
    let mut sound = 0;
    let mut try_one = |bytes: &[u8]| {
        fs::write(&broken, bytes).unwrap();
        let Some(archive) = Archive::open(File::open(&broken).unwrap()).unwrap() else { return };
        let to = File::create(&image).unwrap();
        let (digest, cancel) = (Digest::new([7; 32]), CancellationToken::new());
        if archive.convert(&to, &digest, 1 << 30, &cancel).is_ok() {
            sound += 1;
            if sound % 16 == 1 {
                check_clean(&image);
            }
        }
    };
    for end in (0..whole.len()).step_by(509) {
        try_one(&whole[..end]);
    }
    for at in (0..whole.len().min(6000)).step_by(13) {
        let mut changed = whole.clone();
        changed[at] ^= 0xff;
        try_one(&changed);
        // With a checksum that holds again.
        let header = at / 512 * 512;
        let sum: u32 = (0..512)
            .map(|i| if (148..156).contains(&i) { 32 } else { u32::from(changed[header + i]) })
            .sum();
        changed[header + 148..header + 156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        try_one(&changed);
    }
    assert!(sound > 0);
}
