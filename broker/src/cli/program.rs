//! Whether the dynamic linker will load a library into a program, as far as its file tells.

use std::ffi::OsStr;
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use object::NativeEndian;
use object::read::ReadCache;
use object::read::elf::{FileHeader, ProgramHeader};

/// `#!` lines behind each other that the kernel follows.
const INTERPRETERS: usize = 5;

/// Why a program cannot be run with the library.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unsuitable {
    #[error("{} is statically linked: no library can be loaded into it", .0.display())]
    Static(PathBuf),
    #[error("{} is a Go program: it makes its system calls itself, past the C library", .0.display())]
    Go(PathBuf),
    #[error("{} is linked with musl, not with the GNU C library", .0.display())]
    Musl(PathBuf),
    #[error("{} has the ELF interpreter {interpreter}, which is not the GNU C library's", file.display())]
    OtherLinker { file: PathBuf, interpreter: String },
    #[error("{} is a program for another architecture", .0.display())]
    Architecture(PathBuf),
    #[error("{} is set-user-id, set-group-id or has file capabilities: the dynamic linker ignores LD_PRELOAD for it", .0.display())]
    SetUserId(PathBuf),
    #[error("{} is a .NET or Windows program: start it with mono or dotnet (… -- mono {})", .0.display(), .0.display())]
    DotNet(PathBuf),
    #[error("{}: {error}", file.display())]
    Io { file: PathBuf, error: String },
}

/// The file that a name stands for, by `PATH` if there is no slash in it.
pub(crate) fn find(name: &OsStr) -> Option<PathBuf> {
    if name.as_encoded_bytes().contains(&b'/') {
        return Path::new(name).exists().then(|| name.into());
    }
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| is_executable(file))
}

fn is_executable(file: &Path) -> bool {
    file.metadata().is_ok_and(|file| file.is_file() && file.mode() & 0o111 != 0)
}

/// Looks at a program, and behind its `#!`.
///
/// # Errors
/// [`Unsuitable`]. What cannot be read, or is no ELF program and has no `#!`, is left to the kernel.
pub(crate) fn check(file: &Path) -> Result<(), Unsuitable> {
    let mut file = file.to_owned();
    for _ in 0..INTERPRETERS {
        let io = |error: std::io::Error| Unsuitable::Io { file: file.clone(), error: error.to_string() };
        if gains_privileges(&file) {
            return Err(Unsuitable::SetUserId(file));
        }
        let open = match File::open(&file) {
            // a program may be executable and not readable
            Err(error) if error.kind() == ErrorKind::PermissionDenied => return Ok(()),
            open => open.map_err(io)?,
        };
        let mut start = [0; 256];
        let length = open.read_at(&mut start, 0).map_err(io)?;
        let start = start.get(..length).unwrap_or_default();
        if start.starts_with(b"\x7fELF") {
            return check_elf(&file, open);
        }
        if start.starts_with(b"MZ") && !has_binary_format(b"4d5a") {
            return Err(Unsuitable::DotNet(file));
        }
        match interpreter(start) {
            Some(next) => file = next,
            None => return Ok(()),
        }
    }
    Ok(())
}

/// Whether the kernel was told what runs files that begin so (binfmt_misc); else a shell would try to read it.
fn has_binary_format(magic: &[u8]) -> bool {
    let formats = std::fs::read_dir("/proc/sys/fs/binfmt_misc").into_iter().flatten().flatten();
    let texts = formats.filter_map(|format| std::fs::read(format.path()).ok());
    texts.into_iter().any(|text| {
        let words = text.split(|octet| octet.is_ascii_whitespace()).collect::<Vec<_>>();
        words.first() == Some(&&b"enabled"[..])
            && words.windows(2).any(|pair| matches!(pair, [b"magic", value] if value.starts_with(magic)))
    })
}

fn gains_privileges(file: &Path) -> bool {
    let capabilities = rustix::fs::getxattr(file, "security.capability", &mut [0u8; 64]).is_ok();
    capabilities || file.metadata().is_ok_and(|file| file.mode() & 0o6000 != 0)
}

/// What a `#!` line runs; behind `env` the program that it will find.
fn interpreter(start: &[u8]) -> Option<PathBuf> {
    let line = start.strip_prefix(b"#!")?.split(|octet| *octet == b'\n').next()?;
    let line = std::str::from_utf8(line).ok()?;
    let mut words = line.split_ascii_whitespace();
    let program = Path::new(words.next()?);
    if program.file_name() != Some(OsStr::new("env")) {
        return Some(program.to_owned());
    }
    let wanted = words.find(|word| !word.starts_with('-') && !word.contains('='))?;
    find(OsStr::new(wanted))
}

/// ELF files of this machine; the header of another class or byte order is none.
#[cfg(target_pointer_width = "64")]
type Header = object::elf::FileHeader64<NativeEndian>;
#[cfg(target_pointer_width = "32")]
type Header = object::elf::FileHeader32<NativeEndian>;

fn check_elf(file: &Path, open: File) -> Result<(), Unsuitable> {
    let io =
        |error: &dyn std::fmt::Display| Unsuitable::Io { file: file.to_owned(), error: error.to_string() };
    let machine = |data| Header::parse(data).map(|header| header.e_machine(NativeEndian));
    let own = ReadCache::new(File::open("/proc/self/exe").map_err(|error| io(&error))?);
    let data = &ReadCache::new(open);
    if machine(data).ok() != machine(&own).ok() {
        return Err(Unsuitable::Architecture(file.to_owned()));
    }
    let mut interpreter = None;
    let segments = Header::parse(data).and_then(|header| header.program_headers(NativeEndian, data));
    for segment in segments.map_err(|error| io(&error))? {
        let notes = segment.notes(NativeEndian, data).map_err(|error| io(&error))?;
        // the Go linker writes one with its build ID
        if notes.into_iter().flatten().flatten().any(|note| note.name() == b"Go") {
            return Err(Unsuitable::Go(file.to_owned()));
        }
        interpreter = interpreter.or(segment.interpreter(NativeEndian, data).map_err(|error| io(&error))?);
    }
    if interpreter.is_none() && is_linker(file) {
        return Ok(());
    }
    let Some(interpreter) = interpreter else { return Err(Unsuitable::Static(file.to_owned())) };
    let interpreter = String::from_utf8_lossy(interpreter);
    let name = interpreter.rsplit('/').next().unwrap_or_default();
    match name {
        _ if is_linker(Path::new(name)) => Ok(()),
        _ if name.starts_with("ld-musl") => Err(Unsuitable::Musl(file.to_owned())),
        _ => Err(Unsuitable::OtherLinker { file: file.to_owned(), interpreter: interpreter.into_owned() }),
    }
}

/// The GNU C library's dynamic linker, which may also be started with a program as its argument.
fn is_linker(file: &Path) -> bool {
    let file = file.canonicalize().unwrap_or_else(|_| file.to_owned());
    let name = file.file_name().map(OsStr::as_encoded_bytes).unwrap_or_default();
    name.starts_with(b"ld-linux") || name.starts_with(b"ld64.so")
}
