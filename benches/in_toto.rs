//! `in_toto RUNS FOLDER`: the milliseconds of each verification of a supply chain, from the files on.
//!
//! `benches/in_toto/run` makes the folders, and measures the other implementations of in-toto beside this one.

#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a benchmark reads files and fails by panicking")]

use std::{fs, path::Path, time::Instant};

use jiff::Timestamp;
use pratique::in_toto::{LayoutKey, Limits, LinkFile, Options, SupplyChain, verify};

/// That of the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    // `cargo bench` and `cargo test` add options of their own.
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    let [runs, folder] = args.as_slice() else {
        println!("benches/in_toto/run measures this beside in-toto-python and in-toto-golang");
        return;
    };
    for _ in 0..runs.parse().unwrap() {
        let began = Instant::now();
        once(Path::new(folder));
        println!("{}", began.elapsed().as_secs_f64() * 1000.0);
    }
}

fn once(folder: &Path) {
    let layout = fs::read(folder.join("root.layout")).unwrap();
    let key = LayoutKey::parse(&fs::read(folder.join("owner.pub")).unwrap()).unwrap();
    let names = folder.read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let links = names.filter(|name| name.ends_with(".link"));
    let links: Vec<_> = links.map(|name| (fs::read(folder.join(&name)).unwrap(), name)).collect();
    let files = links.iter().map(|(bytes, name)| LinkFile { dir: Vec::new(), name: name.clone(), bytes });
    let chain = SupplyChain { layout: &layout, keys: vec![key], links: files.collect(), attestations: Vec::new() };
    let verified = verify(&chain, &Options::default(), Timestamp::now(), &Limits::default()).unwrap();
    assert_eq!(verified.order().len(), 5);
}
