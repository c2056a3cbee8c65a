//! The thinnest path: builds one PV guest from a kernel and a ramdisk, prints
//! its console for a while and destroys it. For trying a hypervisor by hand:
//!
//!     first_guest KERNEL RAMDISK MEMORY_MIB [COMMAND LINE]
//!
//! It speaks to the hypervisor alone: the guest has no xenstore.

use std::error::Error;
use std::fs::File;
use std::io::Write;
use std::time::{Duration, Instant};

use xlfs_xen::builder::{Builder, Layout, LayoutRequest, Sources};
use xlfs_xen::console::Console;
use xlfs_xen::hypercall::{Limits, Xen};
use xlfs_xen::kernel::{Limits as KernelLimits, inspect};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [kernel, ramdisk, memory, rest @ ..] = args.as_slice() else {
        return Err("usage: first_guest KERNEL RAMDISK MEMORY_MIB [COMMAND LINE]".into());
    };
    let xen = Xen::open()?;
    println!("Xen {} (ABI data of {})", xen.version(), xen.abi().release);
    println!("{:?}\n{}", xen.phys_info()?, xen.scheduler()?);
    println!("{:?}\n{:?}", xen.topology()?, xen.numa()?);

    let start = Instant::now();
    let lap = |what: &str| println!("{:>8.1?}  {what}", start.elapsed());
    let image = File::open(kernel)?;
    let mut payload = tempfile::tempfile()?;
    let plan = inspect(&image, &KernelLimits::default(), &mut payload)?;
    lap("kernel inspected");
    let payload = if plan.payload_is_image() { &image } else { &payload };
    let ramdisk = File::open(ramdisk)?;
    let ramdisk_len = ramdisk.metadata()?.len();
    let pages = memory.parse::<u64>()? << 8;
    let layout = Layout::compute(&LayoutRequest { plan: &plan, ramdisk: ramdisk_len, pages })?;
    println!("{layout:?}");

    let limits = Limits { vcpus: 1, event_channels: 1023 };
    let domid = xen.create_domain(*b"first guest\0\0\0\0\0", limits)?;
    let result = (|| -> Result<(), Box<dyn Error>> {
        lap("created");
        let builder = Builder::new(&xen, domid);
        builder.limit(limits, pages)?;
        let p2m = builder.populate(pages, &|| false)?;
        lap("populated");
        let line = rest.join(" ");
        let sources = Sources {
            plan: &plan,
            payload,
            ramdisk: Some((&ramdisk, ramdisk_len)),
            command_line: &line,
        };
        let built = builder.load(&layout, &p2m, &sources, &|| false)?;
        lap("loaded");
        builder.start(&layout, &p2m)?;
        lap("started");
        let page = xen.privcmd().map_shared(domid.0, built.console_mfn)?;
        let console = Console::new(page, &xen.abi().layouts);
        xen.unpause_domain(domid)?;
        let end = Instant::now() + Duration::from_secs(40);
        while Instant::now() < end {
            let mut text = Vec::new();
            console.read(&mut text)?;
            std::io::stdout().write_all(&text)?;
            if xen.domain_info(domid)?.is_none_or(|d| d.shutdown.is_some()) {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        println!("{:?}", xen.domain_info(domid)?);
        Ok(())
    })();
    xen.destroy_domain(domid)?;
    std::thread::sleep(Duration::from_millis(300));
    println!("left: {:?}", xen.list_domains()?);
    println!("{} hypercalls", xen.privcmd().calls());
    result
}
