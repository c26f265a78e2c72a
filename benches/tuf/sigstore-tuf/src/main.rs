//! sigstore-tuf under the protocol of `pratique tuf`, with limits that let large repositories in.

use std::{fs, path::PathBuf};

use sigstore_tuf::{
    Error, Result, UpdaterConfig,
    cache::MetadataStore,
    client::{HttpRepository, Updater},
};

/// The metadata in one folder.
struct Folder(PathBuf);

impl MetadataStore for Folder {
    fn load(&self, name: &str) -> Result<Option<Vec<u8>>> {
        Ok(fs::read(self.0.join(name)).ok())
    }

    fn store(&self, name: &str, bytes: &[u8]) -> Result<()> {
        if name.contains('/') {
            return Ok(());
        }
        fs::write(self.0.join(name), bytes).map_err(|error| Error::transport(error.to_string()))
    }
}

#[tokio::main]
async fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().collect();
    let option = |name: &str| {
        let at = args.iter().position(|arg| arg == name);
        at.and_then(|at| args.get(at + 1)).cloned().unwrap_or_default()
    };
    let dir = PathBuf::from(option("--metadata-dir"));
    if args[args.len() - 2] == "init" {
        fs::create_dir_all(&dir)?;
        fs::copy(&args[args.len() - 1], dir.join("root.json"))?;
        return Ok(());
    }
    let now = jiff::Timestamp::now();
    let repository =
        HttpRepository::new(&option("--metadata-url"))?.with_targets_base(&option("--target-base-url"))?;
    let mut config = UpdaterConfig::default();
    config.snapshot_max_length = 128 << 20;
    config.targets_max_length = 128 << 20;
    let root = fs::read(dir.join("root.json"))?;
    let mut updater = Updater::new(repository, &root)?.with_config(config).with_store(Folder(dir));
    updater.refresh(now).await?;
    let name = option("--target-name");
    let info = updater.get_target_info(&name, now).await?.ok_or("no such target")?;
    let bytes = updater.download_target(&info, &name).await?;
    let folder = PathBuf::from(option("--target-dir"));
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("target"), bytes)?;
    Ok(())
}
