//! Programs that this one starts, as far as their files tell: into some of them the dynamic linker loads no library, and nobody
//! would say why their listeners are not shared.
//!
//! Between `fork` and `exec` little is allowed: nothing is allocated here, and no lock is taken.

use core::ffi::{CStr, c_char, c_int, c_uint, c_void};
use core::mem::MaybeUninit;
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering};
use std::io::Write;
use std::net::SocketAddr;

use handoff::environment::LIBRARY;
use object::NativeEndian;
use object::read::elf::{FileHeader, ProgramHeader};
use rustix::fs::{Mode, OFlags};
use rustix::mm::{MapFlags, ProtFlags};

use crate::descriptor::{is_close_on_exec, is_open};
use crate::listener::at;
use crate::next::{self, Strings};
use crate::say;
use crate::settings::settings;
use crate::table::{self, Entry};

#[cfg(target_pointer_width = "64")]
type Header = object::elf::FileHeader64<NativeEndian>;
#[cfg(target_pointer_width = "32")]
type Header = object::elf::FileHeader32<NativeEndian>;

/// A shell that starts such programs all day is not to fill a log.
const MOST: u32 = 16;

/// How many lines there have been, in memory that forked children share.
static SAID: AtomicPtr<AtomicU32> = AtomicPtr::new(ptr::null_mut());

/// `#!` lines behind each other that the kernel follows.
const INTERPRETERS: usize = 5;

/// What is read of a file: the program headers and the interpreter's name are in front.
const START: usize = 1024;

/// Before the first child.
pub(crate) fn load() {
    let access = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: a new mapping, which stays; its zeros are a counter.
    let page = unsafe {
        rustix::mm::mmap_anonymous(ptr::null_mut(), size_of::<AtomicU32>(), access, MapFlags::SHARED)
    };
    SAID.store(page.map_or(ptr::null_mut(), <*mut c_void>::cast), Ordering::Release);
}

fn has_room() -> bool {
    // SAFETY: null, or the page of `load`.
    let said = unsafe { SAID.load(Ordering::Acquire).as_ref() };
    said.is_some_and(|said| said.fetch_add(1, Ordering::Relaxed) < MOST)
}

/// Says so if the library will not be loaded into a program that is meant to have it, or that inherits a listener.
///
/// # Safety
/// `file` is a C string and `environment` a null-terminated array of such, or either is null.
pub(crate) unsafe fn look(file: *const c_char, environment: Strings) {
    if !file.is_null() {
        // SAFETY: passed on.
        let (file, is_meant) = unsafe { (CStr::from_ptr(file), names_us(environment)) };
        say_of(file, file, is_meant);
    }
}

/// As [`look`], where a name without a slash is looked for in `PATH`.
///
/// # Safety
/// As `look`.
pub(crate) unsafe fn look_for(name: *const c_char, environment: Strings) {
    // SAFETY: checked; a C string of the C library's, or null.
    let (name, path) = unsafe {
        let path = libc::getenv(c"PATH".as_ptr());
        if name.is_null() || CStr::from_ptr(name).to_bytes().contains(&b'/') || path.is_null() {
            return look(name, environment);
        }
        (CStr::from_ptr(name), CStr::from_ptr(path))
    };
    for folder in path.to_bytes().split(|octet| *octet == b':') {
        let mut room = [0; START];
        let file = join(&mut room, &[folder, b"/", name.to_bytes()]);
        if let Some(file) = file.filter(|file| is_executable(file)) {
            // SAFETY: a C string; the rest is passed on.
            return unsafe { look(file.as_ptr(), environment) };
        }
    }
}

/// As [`look`], where a path begins in a folder, or is empty: the descriptor is the program.
///
/// # Safety
/// As `look`.
pub(crate) unsafe fn look_at(descriptor: c_int, path: *const c_char, environment: Strings) {
    // SAFETY: checked, and passed on.
    let (path, is_meant) = unsafe {
        if path.is_null() || descriptor == libc::AT_FDCWD || CStr::from_ptr(path).to_bytes().starts_with(b"/")
        {
            return look(path, environment);
        }
        (CStr::from_ptr(path), names_us(environment))
    };
    let (mut link, mut room, mut target) = ([0; START], [0; START], [MaybeUninit::uninit(); START]);
    let _ = write!(link.as_mut_slice(), "/proc/self/fd/{descriptor}");
    let Ok(link) = CStr::from_bytes_until_nul(&link) else { return };
    if !path.is_empty() {
        let file = join(&mut room, &[link.to_bytes(), b"/", path.to_bytes()]);
        return file.map_or((), |file| say_of(path, file, is_meant));
    }
    // a memfd has no other name
    let target = rustix::fs::readlinkat_raw(rustix::fs::CWD, link, target.as_mut_slice());
    let name = target.ok().and_then(|(target, _)| join(&mut room, &[target]));
    say_of(name.unwrap_or(link), link, is_meant);
}

/// Of the program in `file`, whose name for people is `name`. `errno` stays.
fn say_of(name: &CStr, file: &CStr, is_meant: bool) {
    if settings().is_none_or(|settings| settings.quiet) {
        return;
    }
    let errno = next::errno();
    let text = name.to_str().unwrap_or("a program");
    if !is_meant {
        if let Some(local) = inherited().filter(|_| has_room()) {
            say::news(format_args!(
                "{text} is started without this library in its LD_PRELOAD: it cannot use the listener on {local} that it inherits"
            ));
        }
    } else if let Some(why) = unsuitable(name, file).filter(|_| has_room()) {
        say::news(format_args!("{text} shares no port of its own: {why}"));
    }
    next::fail(errno);
}

/// A C string of these parts, if there is room.
fn join<'a>(room: &'a mut [u8; START], parts: &[&[u8]]) -> Option<&'a CStr> {
    let mut octets = parts.iter().copied().flatten();
    // the last octet stays 0
    let (_, free) = room.split_last_mut()?;
    free.iter_mut().zip(octets.by_ref()).for_each(|(to, octet)| *to = *octet);
    if octets.next().is_some() { None } else { CStr::from_bytes_until_nul(room).ok() }
}

/// Where a listener is bound that a started program inherits.
fn inherited() -> Option<SocketAddr> {
    let mut local = None;
    table::for_each_in(0, c_uint::MAX, |descriptor, entry| {
        if let Entry::Listener(number) = entry
            && is_open(descriptor)
            && !is_close_on_exec(descriptor)
        {
            local = Some(at(number).shared().local());
        }
    });
    local
}

/// Whether a program with this environment is meant to load the library.
unsafe fn names_us(environment: Strings) -> bool {
    let mut next = environment;
    // SAFETY: up to the null, each is a C string.
    unsafe {
        while !next.is_null() && !(*next).is_null() {
            let preload = CStr::from_ptr(*next).to_bytes().strip_prefix(b"LD_PRELOAD=");
            if let Some(preload) = preload {
                return preload.windows(LIBRARY.len()).any(|part| part == LIBRARY.as_bytes());
            }
            next = next.add(1);
        }
    }
    false
}

/// Why the library will not be loaded into a program, or into what runs it.
fn unsuitable(name: &CStr, file: &CStr) -> Option<&'static str> {
    let mut rooms = [0; START];
    let mut file = join(&mut rooms, &[file.to_bytes()])?;
    let mut next;
    for depth in 0..INTERPRETERS {
        if !is_executable(file) {
            return None;
        }
        if gains_privileges(file) {
            return Some("the dynamic linker ignores LD_PRELOAD for set-user-id programs");
        }
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let open = rustix::fs::open(file, flags, Mode::empty()).ok()?;
        let mut start = [0u8; START];
        let length = rustix::io::pread(&open, &mut start, 0).ok()?;
        let start = start.get(..length)?;
        let Some(line) = start.strip_prefix(b"#!") else {
            return unsuitable_elf(start).filter(|_| !is_linker(if depth == 0 { name } else { file }));
        };
        let line = line.split(|octet| *octet == b'\n').next()?;
        let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        next = [0; START];
        let interpreter = words.next()?;
        file = join(&mut next, &[interpreter])?;
    }
    None
}

fn is_executable(file: &CStr) -> bool {
    rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok()
}

/// The dynamic linker may be started with a program as its argument.
fn is_linker(file: &CStr) -> bool {
    let name = file.to_bytes().rsplit(|octet| *octet == b'/').next().unwrap_or_default();
    [&b"ld-linux"[..], b"ld64.so", b"ld.so"].iter().any(|linker| name.starts_with(linker))
}

fn gains_privileges(file: &CStr) -> bool {
    let (user, group) = (rustix::process::getuid(), rustix::process::getgid());
    let Ok(status) = rustix::fs::stat(file) else { return false };
    let has_capabilities = || rustix::fs::getxattr(file, c"security.capability", &mut [0u8; 64]).is_ok();
    status.st_mode & libc::S_ISUID != 0 && status.st_uid != user.as_raw()
        || status.st_mode & libc::S_ISGID != 0 && status.st_gid != group.as_raw()
        || !user.is_root() && has_capabilities()
}

/// What is no ELF file, or cannot be understood, is left to whoever runs it.
fn unsuitable_elf(start: &[u8]) -> Option<&'static str> {
    start.strip_prefix(&object::elf::ELFMAG)?;
    let own = &__ehdr_start;
    let header = Header::parse(start).ok();
    let Some(header) = header.filter(|header| header.e_machine(NativeEndian) == own.e_machine(NativeEndian))
    else {
        return Some("it is a program for another architecture");
    };
    for segment in header.program_headers(NativeEndian, start).ok()? {
        match segment.interpreter(NativeEndian, start) {
            Ok(None) => {}
            Ok(Some(name)) if name.windows(8).any(|part| part == b"/ld-musl") => {
                return Some(
                    "it is linked with musl, not with the GNU C library, and ends as it cannot load this one: start it by \
                     `env -u LD_PRELOAD`",
                );
            }
            Ok(Some(_)) | Err(_) => return None,
        }
    }
    // valgrind's tools, and supervisors
    Some(
        "it is statically linked, so no library can be loaded into it; what it starts, or runs inside itself, may",
    )
}

// SAFETY: the linker's name of this library's own header, which is mapped as long as its code is.
unsafe extern "C" {
    safe static __ehdr_start: Header;
}
