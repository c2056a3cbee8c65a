//! Writes what a guest would find on its configuration disk into a folder, for
//! those who try a template without Xen (tests/templates-in-chroot):
//!
//!     first-boot-files TEMPLATE-FOLDER GUEST MAC ADDRESS/PREFIX OUT [NAME=VALUE | NAME=@FILE] ...
//!
//! Parameters go the daemon's own way: checked, with defaults filled in and
//! secrets made, which are printed as NAME=VALUE.

use std::collections::HashMap;
use std::error::Error;
use std::fs;
use std::io::{Cursor, Read};
use std::path::Path;

use uuid::Uuid;
use xlfsd::seed::{Addressing, Interface, Seed};
use xlfsd::template::{GuestFacts, Template};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, name, mac, address, out, given @ ..] = arguments.as_slice() else {
        return Err("five words and parameters; see this program's first lines".into());
    };
    let template = Template::read(&Path::new(folder).canonicalize()?)?;
    let instance = Uuid::now_v7();
    let facts = GuestFacts { name, uuid: instance };
    let params = template.validate(&parameters(given)?, &facts).map_err(|problem| {
        let wrong: Vec<_> = problem.fields().iter().map(|f| format!("{f:?}")).collect();
        format!("{}: {}", problem.message, wrong.join("; "))
    })?;
    for check in &template.health {
        check.fill(&params.values, &facts)?;
    }
    let mut seed = Seed::new(instance, name.parse()?);
    let addressing = Addressing::Static(vec![address.parse()?]);
    seed.interfaces = vec![Interface { index: 0, mac: mac.parse()?, addressing }];
    seed.parameters = params.values;
    seed.steps = template.steps;
    extract(&seed.image()?, Path::new(out))?;
    for (name, value) in params.generated {
        println!("{name}={value}");
    }
    Ok(())
}

fn parameters(given: &[String]) -> Result<HashMap<String, String>, Box<dyn Error>> {
    let mut parameters = HashMap::new();
    for word in given {
        let (name, value) = word.split_once('=').ok_or_else(|| format!("{word}: NAME=VALUE"))?;
        let value = match value.strip_prefix('@') {
            Some(path) => fs::read_to_string(path)?,
            None => value.to_owned(),
        };
        parameters.insert(name.to_owned(), value);
    }
    Ok(parameters)
}

/// Not mounted: the machine may be nobody's to mount on, or lack FAT.
fn extract(image: &[u8], out: &Path) -> Result<(), Box<dyn Error>> {
    let volume = fatfs::FileSystem::new(Cursor::new(image.to_vec()), fatfs::FsOptions::new())?;
    fs::create_dir_all(out)?;
    for entry in volume.root_dir().iter() {
        let entry = entry?;
        if entry.is_file() {
            let mut text = Vec::new();
            entry.to_file().read_to_end(&mut text)?;
            fs::write(out.join(entry.file_name()), text)?;
        }
    }
    Ok(())
}
