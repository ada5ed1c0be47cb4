//! A real systemd, for what a service is told and does under one.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use crate::missing::{is_root, skip};

/// systemd as the first process of a machine of its own: namespaces, in which it has a control group, a network of which there
/// is the loopback, journald, no other service, and this machine's files. What is changed there is gone when this is dropped, and
/// so is every process.
#[derive(Debug)]
pub struct Systemd {
    script: Child,
    process: u32,
    _folder: tempfile::TempDir,
}

impl Systemd {
    /// Starts one; returns when all that it starts by itself runs. `None`, and why as [`skip`] says it, where this cannot be.
    ///
    /// # Panics
    /// As [`skip`]; and if what was started does not become what it should.
    #[track_caller]
    pub fn start() -> Option<Self> {
        if !is_root() {
            return None;
        }
        if !Path::new("/usr/lib/systemd/systemd").exists() {
            skip("systemd", "apt install systemd");
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let complaints = folder.path().join("complaints");
        // What is run may not lie in the folder: something is mounted over it.
        let mut script = Command::new("sh")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/src/systemd.sh"))
            .arg(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&complaints).expect("a file"))
            .spawn()
            .expect("there is a shell");
        let mut process = String::new();
        let said = script.stdout.take().expect("a pipe");
        BufReader::new(said).read_line(&mut process).expect("it is text");
        let Ok(process) = process.trim().parse() else {
            drop(script.stdin.take());
            drop(script.wait());
            let complaints = std::fs::read_to_string(complaints).unwrap_or_default();
            skip(
                &format!("systemd in namespaces ({})", complaints.trim()),
                "root with all capabilities, cgroup2, overlayfs and, of Debian, mount and util-linux are needed",
            );
            return None;
        };
        let systemd = Self { script, process, _folder: folder };
        // It has no socket yet.
        crate::until(|| systemd.command("systemctl").arg("is-system-running").output().is_ok_and(running));
        Some(systemd)
    }

    /// A program that is run in the machine.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--target={}", self.process))
            .args(["--mount", "--pid", "--uts", "--ipc", "--net", "--cgroup", "--wd=/"])
            .arg(program)
            .stdin(Stdio::null())
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            // Nobody pages, and nothing is cut.
            .envs([("LC_ALL", "C.UTF-8"), ("SYSTEMD_PAGER", ""), ("COLUMNS", "500")]);
        command
    }

    /// What a line does that is typed at a shell there: whether it exits with 0, and all that it writes.
    ///
    /// # Panics
    /// It cannot be started.
    #[track_caller]
    pub fn shell(&self, line: &str) -> (bool, String) {
        let Output { status, stdout, .. } = self
            .command("sh")
            .args(["-c", "exec 2>&1; eval \"$1\"", "sh", line])
            .output()
            .expect("nsenter starts");
        (status.success(), String::from_utf8(stdout).expect("it is text"))
    }

    /// The same for what must do well; what it writes.
    ///
    /// # Panics
    /// It exits with another status than 0.
    #[track_caller]
    pub fn does(&self, line: &str) -> String {
        let (well, said) = self.shell(line);
        assert!(well, "{line}: {said}\n{}", self.shell("journalctl --lines=50").1);
        said
    }

    /// Where a file of the machine is, for this process.
    pub fn path(&self, file: &str) -> PathBuf {
        Path::new("/proc").join(self.process.to_string()).join("root").join(file.trim_start_matches('/'))
    }

    /// The number out here of a process that is called so there.
    ///
    /// # Panics
    /// There is none.
    #[track_caller]
    pub fn outside(&self, process: u32) -> u32 {
        let namespace = |process: &str| std::fs::read_link(format!("/proc/{process}/ns/pid")).ok();
        let its = namespace(&self.process.to_string()).expect("systemd runs");
        let inside = |outside: &str| -> Option<u32> {
            let status = std::fs::read_to_string(format!("/proc/{outside}/status")).ok()?;
            let line = status.lines().find(|line| line.starts_with("NSpid:"))?;
            line.split_ascii_whitespace().last()?.parse().ok()
        };
        let all = std::fs::read_dir("/proc").expect("there is /proc").flatten();
        all.filter_map(|entry| entry.file_name().into_string().ok())
            .find(|outside| inside(outside) == Some(process) && namespace(outside).as_ref() == Some(&its))
            .and_then(|outside| outside.parse().ok())
            .unwrap_or_else(|| panic!("no process {process}"))
    }
}

/// All that it starts by itself has started, and well.
fn running(answer: Output) -> bool {
    let state = String::from_utf8_lossy(&answer.stdout).trim().to_owned();
    assert_ne!(state, "degraded", "something of systemd itself has failed");
    state == "running"
}

impl Drop for Systemd {
    fn drop(&mut self) {
        drop(self.script.stdin.take());
        drop(self.script.wait());
    }
}
