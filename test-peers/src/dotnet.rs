//! The programs of `dotnet/peers`, where `dotnet/publish` puts them.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::skip;

/// Real .NET: Microsoft's WCF client, and servers that know nothing of port sharing. `dotnet/peers/README.md` says what
/// each does.
#[derive(Debug, Clone)]
pub struct DotNet {
    folder: PathBuf,
}

impl DotNet {
    /// Looks in `NET_TCP_DOTNET`, or in `target/dotnet`; says so, as [`skip`] does, if nothing is there.
    ///
    /// # Panics
    /// As [`skip`]; or `NET_TCP_DOTNET` names a folder without them.
    #[track_caller]
    pub fn found() -> Option<Self> {
        let named = std::env::var_os("NET_TCP_DOTNET");
        let folder = named.as_ref().map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/dotnet"),
            |folder| Path::new(folder).into(),
        );
        if folder.join("published").exists() {
            return Some(Self { folder });
        }
        assert!(named.is_none(), "NET_TCP_DOTNET: `dotnet/publish {}` has not run", folder.display());
        skip(".NET", "run dotnet/publish (it needs the SDK of .NET 10)");
        None
    }

    /// Microsoft's WCF client.
    pub fn client(&self) -> Command {
        self.program("client")
    }

    /// Calls as fast as they go.
    pub fn load(&self) -> Command {
        self.program("load")
    }

    /// A server of this kind; it says `READY` when it listens.
    pub fn server(&self, kind: &str) -> Command {
        let mut command = self.program("servers");
        command.arg(kind);
        command
    }

    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.folder.join("dotnet"));
        // Otherwise it leaves sockets and pipes for debuggers in the temporary folder when it is killed.
        command.env("DOTNET_EnableDiagnostics", "0");
        command.arg(self.folder.join(name).join(format!("{name}.dll")));
        command
    }
}
