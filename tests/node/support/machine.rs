//! A machine within the machine: namespaces of their own for processes, mounts and network.
//!
//! All that runs in it hangs on one process, and the kernel ends it with that one: containers and their shims, mounts
//! and network. So nothing is left of a run, however it ends, but empty cgroups and files; the next run removes those.

use std::{
    ffi::OsStr,
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{self, Command},
    thread,
    time::Duration,
};

use super::{process::Process, wait};

/// Where the machine is in its network; nobody else is there.
pub(crate) const ADDRESS: &str = "192.0.2.10";

/// The beginning of the names of cgroups; the id of the test process follows.
const CGROUP: &str = "pratique-node-";

/// How long the kernel may take to end what runs.
const END: Duration = Duration::from_secs(20);

/// The machine, until it is dropped.
pub(crate) struct Machine {
    /// The folder of the run: logs, keys, and what the programs keep.
    pub(crate) directory: PathBuf,
    /// The name of its cgroup, below the root of every hierarchy.
    pub(crate) cgroup: String,
    init: Option<Process>,
    pid: u32,
}

impl Machine {
    /// Makes the namespaces, and the cgroup in which containers are to be.
    pub(crate) fn start(directory: &Path) -> Self {
        for abandoned in cgroups(|pid| !Path::new("/proc").join(pid).exists()) {
            // Of a run that was killed just now, something may still be ending; the next run tries again.
            let _ = remove_tree(&abandoned);
        }
        let cgroup = format!("{CGROUP}{}", process::id());
        hierarchies().iter().for_each(|hierarchy| make_cgroup(hierarchy, &cgroup));
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/node/tools/init.sh");
        let unshare = ["--mount", "--net", "--pid", "--fork", "--kill-child", "sh"].map(OsStr::new);
        let args = [script.as_os_str(), directory.as_os_str(), OsStr::new(ADDRESS)];
        let log = directory.join("init.log");
        let mut init = Process::start(Path::new("unshare"), unshare.into_iter().chain(args), &[], directory, &log);
        let pid = wait::until("the machine is set up", || {
            assert!(!init.has_ended(), "no machine within this one, for which root is needed: {}", init.log());
            fs::read_to_string(directory.join("init.pid")).map_err(|error| error.to_string())
        });
        let pid = pid.trim().parse().unwrap();
        Self { directory: directory.to_owned(), cgroup, init: Some(init), pid }
    }

    /// Starts a program in it, in the folder of the run, where its log is, too.
    pub(crate) fn spawn(&self, program: &Path, args: &str) -> Process {
        let log = self.directory.join(program.file_name().unwrap()).with_extension("log");
        let target = format!("--target={}", self.pid);
        // Whoever enters the mounts stands in their root.
        let enter = ["--mount", "--net", "--pid", &target, "sh", "-c", "cd \"$0\" && exec \"$@\""];
        let place = [self.directory.to_str().unwrap(), program.to_str().unwrap()];
        let args = enter.into_iter().chain(place).chain(args.split_whitespace());
        Process::start(Path::new("nsenter"), args, &[], &self.directory, &log)
    }

    /// A command that is run in its network, among the files of the outer machine.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(self.network()).arg(program).current_dir(&self.directory);
        command
    }

    /// A script in the folder of the run that does the same, with these lines before.
    pub(crate) fn wrapper(&self, program: &Path, lines: &str) -> PathBuf {
        let script = self.directory.join(program.file_name().unwrap());
        let text = format!("#!/bin/sh\n{lines}exec nsenter {} {} \"$@\"\n", self.network(), program.display());
        fs::write(&script, text).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        script
    }

    fn network(&self) -> String {
        format!("--net=/proc/{}/ns/net", self.pid)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        drop(self.init.take());
        let own = process::id().to_string();
        // A cgroup can be removed when the last process in it has ended, so this also waits for that.
        let removed = wait::tried(END, || {
            let mut left = cgroups(|pid| pid == own).into_iter();
            left.try_for_each(|cgroup| remove_tree(&cgroup)).map_err(|error| error.to_string())
        });
        if let Err(error) = removed {
            eprintln!("something of the cluster still runs: {error}");
        } else if !thread::panicking() {
            // Images and their containers are large; after a failure there is something to read among them.
            let _ = fs::remove_dir_all(&self.directory);
        }
    }
}

/// The roots of the hierarchies of cgroups: one, or of version 1 several.
fn hierarchies() -> Vec<PathBuf> {
    let root = Path::new("/sys/fs/cgroup");
    if root.join("cgroup.controllers").exists() { vec![root.to_owned()] } else { folders(root) }
}

fn make_cgroup(hierarchy: &Path, name: &str) {
    let cgroup = hierarchy.join(name);
    fs::create_dir(&cgroup).unwrap();
    // In version 1 a process can enter a cpuset only once this is set.
    for file in ["cpuset.cpus", "cpuset.mems"] {
        if let Ok(value) = fs::read(hierarchy.join(file)) {
            fs::write(cgroup.join(file), value).unwrap();
        }
    }
}

/// The cgroups, in all hierarchies, of the runs whose process id `is` one.
fn cgroups(is: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let all = hierarchies().into_iter().flat_map(|hierarchy| folders(&hierarchy));
    all.filter(|path| path.file_name().unwrap().to_str().unwrap().strip_prefix(CGROUP).is_some_and(&is)).collect()
}

/// The files of a cgroup go with it.
fn remove_tree(cgroup: &Path) -> io::Result<()> {
    folders(cgroup).iter().try_for_each(|below| remove_tree(below))?;
    fs::remove_dir(cgroup)
}

fn folders(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().map(|entry| entry.unwrap());
    entries.filter(|entry| entry.file_type().unwrap().is_dir()).map(|entry| entry.path()).collect()
}
