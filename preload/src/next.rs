//! The C library's functions behind the replaced ones, and `errno`.

use core::ffi::{CStr, c_char, c_int, c_long, c_uint, c_void};
use core::marker::PhantomData;
use core::mem;
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};

use libc::{epoll_event, mmsghdr, msghdr, sockaddr, socklen_t, timespec};

/// A null-terminated array of C strings.
pub(crate) type Strings = *const *const c_char;

/// A function with any number of arguments: its address only, not to be called as this.
pub(crate) type Variadic = unsafe extern "C-unwind" fn() -> c_int;

unsafe extern "C" {
    /// The C library's, set before any constructor.
    pub(crate) static mut environ: Strings;
}

/// A function that is looked up once.
pub(crate) struct Next<F> {
    name: &'static CStr,
    address: AtomicPtr<c_void>,
    function: PhantomData<F>,
}

impl<F: Copy> Next<F> {
    const fn new(name: &'static CStr) -> Self {
        Self { name, address: AtomicPtr::new(ptr::null_mut()), function: PhantomData }
    }

    /// The function, if the C library has it.
    pub(crate) fn find(&self) -> Option<F> {
        let mut address = self.address.load(Ordering::Relaxed);
        if address.is_null() {
            // SAFETY: a valid C string; dlsym may be called at any time. It happens in the constructor, before any fork.
            address = unsafe { libc::dlsym(libc::RTLD_NEXT, self.name.as_ptr()) };
            self.address.store(address, Ordering::Relaxed);
        }
        const { assert!(mem::size_of::<F>() == mem::size_of::<*mut c_void>()) };
        // SAFETY: `F` is the C type of the function of that name (the statics below), and a pointer's size.
        (!address.is_null()).then(|| unsafe { mem::transmute_copy(&address) })
    }

    /// The function; every C library has the ones this is called for.
    pub(crate) fn get(&self) -> F {
        self.find().unwrap_or_else(|| std::process::abort())
    }
}

macro_rules! next {
    ($($name:ident: fn($($argument:ty),*) -> $result:ty;)*) => {
        $(
            #[allow(non_upper_case_globals, reason = "named as the function")]
            pub(crate) static $name: Next<unsafe extern "C-unwind" fn($($argument),*) -> $result> = {
                match CStr::from_bytes_with_nul(concat!(stringify!($name), "\0").as_bytes()) {
                    Ok(name) => Next::new(name),
                    Err(_) => panic!(),
                }
            };
        )*
        /// Looks all of them up, so that no later call has to.
        pub(crate) fn find_all() {
            $($name.find();)*
        }
    };
}

next! {
    socket: fn(c_int, c_int, c_int) -> c_int;
    bind: fn(c_int, *const sockaddr, socklen_t) -> c_int;
    listen: fn(c_int, c_int) -> c_int;
    accept: fn(c_int, *mut sockaddr, *mut socklen_t) -> c_int;
    accept4: fn(c_int, *mut sockaddr, *mut socklen_t, c_int) -> c_int;
    getsockname: fn(c_int, *mut sockaddr, *mut socklen_t) -> c_int;
    getpeername: fn(c_int, *mut sockaddr, *mut socklen_t) -> c_int;
    getsockopt: fn(c_int, c_int, c_int, *mut c_void, *mut socklen_t) -> c_int;
    setsockopt: fn(c_int, c_int, c_int, *const c_void, socklen_t) -> c_int;
    connect: fn(c_int, *const sockaddr, socklen_t) -> c_int;
    sendmsg: fn(c_int, *const msghdr, c_int) -> isize;
    sendmmsg: fn(c_int, *mut mmsghdr, c_uint, c_int) -> c_int;
    recvmsg: fn(c_int, *mut msghdr, c_int) -> isize;
    recvmmsg: fn(c_int, *mut mmsghdr, c_uint, c_int, *mut timespec) -> c_int;
    shutdown: fn(c_int, c_int) -> c_int;
    fstat: fn(c_int, *mut c_void) -> c_int;
    fstat64: fn(c_int, *mut c_void) -> c_int;
    __fxstat: fn(c_int, c_int, *mut c_void) -> c_int;
    __fxstat64: fn(c_int, c_int, *mut c_void) -> c_int;
    statx: fn(c_int, *const c_char, c_int, c_uint, *mut c_void) -> c_int;
    fstatat: fn(c_int, *const c_char, *mut c_void, c_int) -> c_int;
    fstatat64: fn(c_int, *const c_char, *mut c_void, c_int) -> c_int;
    close: fn(c_int) -> c_int;
    close_range: fn(c_uint, c_uint, c_int) -> c_int;
    dup: fn(c_int) -> c_int;
    dup2: fn(c_int, c_int) -> c_int;
    dup3: fn(c_int, c_int, c_int) -> c_int;
    fcntl: fn(c_int, c_int, usize) -> c_int;
    fcntl64: fn(c_int, c_int, usize) -> c_int;
    ioctl: fn(c_int, core::ffi::c_ulong, usize) -> c_int;
    epoll_ctl: fn(c_int, c_int, c_int, *mut epoll_event) -> c_int;
    execve: fn(*const c_char, Strings, Strings) -> c_int;
    execv: fn(*const c_char, Strings) -> c_int;
    execvp: fn(*const c_char, Strings) -> c_int;
    execvpe: fn(*const c_char, Strings, Strings) -> c_int;
    execl: fn() -> c_int;
    execlp: fn() -> c_int;
    execle: fn() -> c_int;
    fexecve: fn(c_int, Strings, Strings) -> c_int;
    execveat: fn(c_int, *const c_char, Strings, Strings, c_int) -> c_int;
    system: fn(*const c_char) -> c_int;
    popen: fn(*const c_char, *const c_char) -> *mut c_void;
    posix_spawn: fn(*mut c_int, *const c_char, *const c_void, *const c_void, Strings, Strings) -> c_int;
    posix_spawnp: fn(*mut c_int, *const c_char, *const c_void, *const c_void, Strings, Strings) -> c_int;
}

/// `close_range`, also where the C library is older than the kernel.
pub(crate) fn close_range_or_syscall(first: c_uint, last: c_uint, flags: c_int) -> c_int {
    match close_range.find() {
        // SAFETY: closes descriptors on the program's behalf; no memory is involved.
        Some(function) => unsafe { function(first, last, flags) },
        // SAFETY: as above; -1 and errno are set by `syscall`.
        None => result(unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) }),
    }
}

fn result(value: c_long) -> c_int {
    c_int::try_from(value).unwrap_or(-1)
}

/// Sets `errno` and gives -1.
pub(crate) fn fail(errno: c_int) -> c_int {
    // SAFETY: the address of this thread's errno is always valid.
    unsafe { *libc::__errno_location() = errno };
    -1
}

/// `errno`.
pub(crate) fn errno() -> c_int {
    // SAFETY: the address of this thread's errno is always valid.
    unsafe { *libc::__errno_location() }
}
