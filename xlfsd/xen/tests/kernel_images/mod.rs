//! Kernel images made by the test: a small PV kernel that is entirely right,
//! the packings it can come in, and (in `malformed`) everything that can be
//! wrong with it. Shared by the integration tests and by the example that
//! writes the malformed ones to files.
#![allow(dead_code, unreachable_pub, reason = "each user needs another part of it")]
#![allow(clippy::unwrap_used, reason = "it serves tests")]

pub mod malformed;
pub mod pack;

/// Where the tiny kernel is linked.
pub const VIRT_BASE: u64 = 0xffff_ffff_8000_0000;
/// Its physical load address.
pub const PHYS: u64 = 0x10_0000;
/// Size of its code segment, in the file and in memory.
pub const TEXT: u64 = 0x3000;
/// Size of its data segment in memory; half of it is in the file.
pub const DATA: u64 = 0x2000;

/// One program header, with the content that belongs to it.
#[derive(Clone)]
pub struct Phdr {
    pub kind: u32,
    pub flags: u32,
    /// Overrides the offset at which the content is really placed.
    pub offset: Option<u64>,
    pub vaddr: u64,
    pub paddr: u64,
    /// Overrides the content's length.
    pub file_size: Option<u64>,
    pub mem_size: u64,
    pub content: Vec<u8>,
}

impl Phdr {
    pub fn load(paddr: u64, content: Vec<u8>, mem_size: u64) -> Self {
        let vaddr = paddr.wrapping_add(VIRT_BASE);
        Self { kind: 1, flags: 7, offset: None, vaddr, paddr, file_size: None, mem_size, content }
    }

    pub fn notes(content: Vec<u8>) -> Self {
        let (kind, flags, mem_size) = (4, 4, content.len() as u64);
        Self { kind, flags, offset: None, vaddr: 0, paddr: 0, file_size: None, mem_size, content }
    }
}

/// One section header with its content.
#[derive(Clone)]
pub struct Shdr {
    pub name: String,
    pub kind: u32,
    pub offset: Option<u64>,
    pub size: Option<u64>,
    pub content: Vec<u8>,
}

/// An ELF file under construction: every field can be made to lie.
#[derive(Clone)]
pub struct Elf {
    pub class: u8,
    pub encoding: u8,
    pub kind: u16,
    pub machine: u16,
    pub entry: u64,
    pub phoff: Option<u64>,
    pub phentsize: u16,
    pub phnum: Option<u16>,
    pub shoff: Option<u64>,
    pub shentsize: u16,
    pub shnum: Option<u16>,
    pub shstrndx: Option<u16>,
    pub phdrs: Vec<Phdr>,
    pub shdrs: Vec<Shdr>,
}

impl Elf {
    pub fn with(phdrs: Vec<Phdr>) -> Self {
        Self {
            class: 2,
            encoding: 1,
            kind: 2,
            machine: 62,
            entry: PHYS,
            phoff: None,
            phentsize: 56,
            phnum: None,
            shoff: None,
            shentsize: 64,
            shnum: None,
            shstrndx: None,
            phdrs,
            shdrs: Vec::new(),
        }
    }

    /// The file: header, program headers, contents, section headers.
    pub fn bytes(&self) -> Vec<u8> {
        let mut at = 64 + 56 * self.phdrs.len() as u64;
        let mut contents = Vec::new();
        let mut place = |content: &[u8]| {
            let padding = at.next_multiple_of(16) - at;
            contents.extend(vec![0; padding as usize]);
            contents.extend(content);
            let here = at + padding;
            at = here + content.len() as u64;
            here
        };
        let mut programs = Vec::new();
        for p in &self.phdrs {
            let offset = p.offset.unwrap_or(place(&p.content));
            let file_size = p.file_size.unwrap_or(p.content.len() as u64);
            programs.extend(p.kind.to_le_bytes());
            programs.extend(p.flags.to_le_bytes());
            for field in [offset, p.vaddr, p.paddr, file_size, p.mem_size, 0x1000] {
                programs.extend(field.to_le_bytes());
            }
        }
        let mut sections = Vec::new();
        let mut shnum = 0u16;
        if !self.shdrs.is_empty() {
            let mut names = vec![0];
            let mut entry = |name: u32, kind: u32, offset: u64, size: u64| {
                sections.extend(name.to_le_bytes());
                sections.extend(kind.to_le_bytes());
                for field in [0, 0, offset, size] {
                    sections.extend(field.to_le_bytes());
                }
                sections.extend([0; 24]);
                shnum += 1;
            };
            entry(0, 0, 0, 0);
            for s in &self.shdrs {
                let name = names.len() as u32;
                names.extend(s.name.as_bytes());
                names.push(0);
                let offset = s.offset.unwrap_or(place(&s.content));
                entry(name, s.kind, offset, s.size.unwrap_or(s.content.len() as u64));
            }
            let offset = place(&names);
            entry(0, 3, offset, names.len() as u64);
        }
        let shoff = self.shoff.unwrap_or(if shnum == 0 { 0 } else { at });

        let mut file = b"\x7fELF".to_vec();
        file.extend([self.class, self.encoding, 1, 0]);
        file.extend([0; 8]);
        file.extend(self.kind.to_le_bytes());
        file.extend(self.machine.to_le_bytes());
        file.extend(1u32.to_le_bytes());
        file.extend(self.entry.to_le_bytes());
        file.extend(self.phoff.unwrap_or(64).to_le_bytes());
        file.extend(shoff.to_le_bytes());
        file.extend(0u32.to_le_bytes());
        for field in [
            64,
            self.phentsize,
            self.phnum.unwrap_or(self.phdrs.len() as u16),
            self.shentsize,
            self.shnum.unwrap_or(shnum),
            self.shstrndx.unwrap_or(shnum.saturating_sub(1)),
        ] {
            file.extend(field.to_le_bytes());
        }
        file.extend(programs);
        file.extend(contents);
        file.extend(sections);
        file
    }
}

/// One ELF note.
pub fn note(name: &[u8], kind: u32, content: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend((name.len() as u32).to_le_bytes());
    bytes.extend((content.len() as u32).to_le_bytes());
    bytes.extend(kind.to_le_bytes());
    for part in [name, content] {
        bytes.extend(part);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    bytes
}

/// A Xen note with a string, NUL included.
pub fn text(kind: u32, content: &str) -> Vec<u8> {
    note(b"Xen\0", kind, format!("{content}\0").as_bytes())
}

/// A Xen note with a 64-bit number.
pub fn number(kind: u32, value: u64) -> Vec<u8> {
    note(b"Xen\0", kind, &value.to_le_bytes())
}

/// The notes that every PV kernel has.
pub fn plain_notes() -> Vec<Vec<u8>> {
    vec![
        text(6, "linux"),
        text(7, "2.6"),
        text(5, "xen-3.0"),
        text(8, "generic"),
        number(3, VIRT_BASE),
        number(1, VIRT_BASE + PHYS + 0x40),
    ]
}

/// The notes of a Linux kernel before 2025, in its order and with others'
/// notes in between.
pub fn linux_notes() -> Vec<Vec<u8>> {
    let mut notes = plain_notes();
    notes.extend([
        note(b"GNU\0", 3, &[0xeb; 20]),
        number(15, 0x80_0000_0000),
        number(2, VIRT_BASE + PHYS + 0x1000),
        text(10, "!writable_page_tables|pae_pgdir_above_4gb"),
        note(b"Xen\0", 17, &0x8801u32.to_le_bytes()),
        text(9, "yes"),
        note(b"Xen\0", 13, &[1; 16]),
        note(b"Xen\0", 14, &1u32.to_le_bytes()),
        note(b"Xen\0", 16, &1u32.to_le_bytes()),
        number(12, 0xffff_8000_0000_0000),
        note(b"Linux\0", 0x101, &[0; 5]),
        number(18, PHYS),
    ]);
    notes
}

/// The loadable segments of the tiny kernel.
pub fn segments() -> Vec<Phdr> {
    let text = (0..TEXT).map(|i| i as u8).collect();
    let data = (0..DATA / 2).map(|i| (i >> 4) as u8).collect();
    vec![Phdr::load(PHYS, text, TEXT), Phdr::load(PHYS + TEXT, data, DATA)]
}

/// The tiny kernel with these notes.
pub fn kernel_with(notes: Vec<Vec<u8>>) -> Elf {
    let mut phdrs = segments();
    phdrs.push(Phdr::notes(notes.concat()));
    Elf::with(phdrs)
}

/// The tiny kernel, with the notes of a Linux kernel.
pub fn kernel() -> Elf {
    kernel_with(linux_notes())
}
