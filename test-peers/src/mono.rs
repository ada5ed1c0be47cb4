//! C# programs of a test, compiled and run by Mono.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::installed;

/// A C# source compiled for Mono, with WCF at hand.
#[derive(Debug)]
pub struct Mono {
    executable: PathBuf,
    _folder: tempfile::TempDir,
}

impl Mono {
    /// Compiles it; `None`, said as [`skip`](crate::skip) does, without Mono.
    ///
    /// # Panics
    /// As `skip`; or the source does not compile.
    #[track_caller]
    pub fn compile(source: impl AsRef<Path>) -> Option<Self> {
        if !installed("mcs") || !installed("mono") {
            return None;
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        let executable = folder.path().join("program.exe");
        let mut mcs = Command::new("mcs");
        mcs.args(["-r:System.ServiceModel", "-r:System.Runtime.Serialization"]);
        mcs.arg(format!("-out:{}", executable.display())).arg(source.as_ref());
        let compiled = mcs.output().expect("mcs runs");
        assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
        Some(Self { executable, _folder: folder })
    }

    /// Starts it; arguments are to be added.
    pub fn command(&self) -> Command {
        let mut command = Command::new("mono");
        command.arg(&self.executable);
        command
    }
}
