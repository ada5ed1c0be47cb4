//! The replaced functions that start a program; [`start`](crate::start) looks at it first.
//!
//! Each is replaced, as the C library's own call one another past this library.

use core::ffi::{c_char, c_int, c_void};

use crate::next::{self, Strings, environ};
use crate::start::{look, look_at, look_for};

/// # Safety
/// `execve(2)`.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn execve(
    file: *const c_char,
    arguments: Strings,
    environment: Strings,
) -> c_int {
    // SAFETY: the program's own arguments.
    unsafe {
        look(file, environment);
        next::execve.get()(file, arguments, environment)
    }
}

/// # Safety
/// `execv(3)`.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn execv(file: *const c_char, arguments: Strings) -> c_int {
    // SAFETY: the program's own arguments, and the C library's environment.
    unsafe {
        look(file, environ);
        next::execv.get()(file, arguments)
    }
}

/// # Safety
/// `execvp(3)`.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn execvp(name: *const c_char, arguments: Strings) -> c_int {
    // SAFETY: the program's own arguments, and the C library's environment.
    unsafe {
        look_for(name, environ);
        next::execvp.get()(name, arguments)
    }
}

/// # Safety
/// `execvpe(3)`.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn execvpe(
    name: *const c_char,
    arguments: Strings,
    environment: Strings,
) -> c_int {
    // SAFETY: the program's own arguments.
    unsafe {
        look_for(name, environment);
        next::execvpe.get()(name, arguments, environment)
    }
}

/// # Safety
/// `fexecve(3)`.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn fexecve(
    descriptor: c_int,
    arguments: Strings,
    environment: Strings,
) -> c_int {
    // SAFETY: the program's own arguments.
    unsafe {
        look_at(descriptor, c"".as_ptr(), environment);
        next::fexecve.get()(descriptor, arguments, environment)
    }
}

/// # Safety
/// `execveat(2)`.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn execveat(
    folder: c_int,
    path: *const c_char,
    arguments: Strings,
    environment: Strings,
    flags: c_int,
) -> c_int {
    let Some(function) = next::execveat.find() else { return next::fail(libc::ENOSYS) };
    // SAFETY: the program's own arguments.
    unsafe {
        look_at(folder, path, environment);
        function(folder, path, arguments, environment, flags)
    }
}

/// # Safety
/// `posix_spawn(3)`.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn posix_spawn(
    process: *mut c_int,
    file: *const c_char,
    actions: *const c_void,
    attributes: *const c_void,
    arguments: Strings,
    environment: Strings,
) -> c_int {
    // SAFETY: the program's own arguments.
    unsafe {
        look(file, environment);
        next::posix_spawn.get()(process, file, actions, attributes, arguments, environment)
    }
}

/// # Safety
/// `posix_spawnp(3)`.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn posix_spawnp(
    process: *mut c_int,
    name: *const c_char,
    actions: *const c_void,
    attributes: *const c_void,
    arguments: Strings,
    environment: Strings,
) -> c_int {
    // SAFETY: the program's own arguments.
    unsafe {
        look_for(name, environment);
        next::posix_spawnp.get()(process, name, actions, attributes, arguments, environment)
    }
}

/// # Safety
/// `system(3)`.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn system(command: *const c_char) -> c_int {
    // SAFETY: the program's own argument, and the C library's environment.
    unsafe {
        look(SHELL, environ);
        next::system.get()(command)
    }
}

/// # Safety
/// `popen(3)`.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn popen(command: *const c_char, kind: *const c_char) -> *mut c_void {
    // SAFETY: the program's own arguments, and the C library's environment.
    unsafe {
        look(SHELL, environ);
        next::popen.get()(command, kind)
    }
}

/// What the C library runs commands with.
const SHELL: *const c_char = c"/bin/sh".as_ptr();

/// Functions with any number of arguments: of these `$look` sees all, those in registers and those on the stack; then the C
/// library's function, whose address it gives, is jumped to with all of them in place.
#[cfg(target_arch = "x86_64")]
macro_rules! variadic {
    ($($name:ident: $look:ident;)*) => {
        $(
            /// # Safety
            /// `exec(3)`.
            #[unsafe(no_mangle)]
            #[unsafe(naked)]
            pub unsafe extern "C-unwind" fn $name() -> c_int {
                core::arch::naked_asm!(
                    ".cfi_startproc",
                    "sub rsp, 56",
                    ".cfi_adjust_cfa_offset 56",
                    "mov [rsp], rdi",
                    "mov [rsp + 8], rsi",
                    "mov [rsp + 16], rdx",
                    "mov [rsp + 24], rcx",
                    "mov [rsp + 32], r8",
                    "mov [rsp + 40], r9",
                    "mov rdi, rsp",
                    // behind the address to return to
                    "lea rsi, [rsp + 64]",
                    "call {look}",
                    "mov r11, rax",
                    "mov rdi, [rsp]",
                    "mov rsi, [rsp + 8]",
                    "mov rdx, [rsp + 16]",
                    "mov rcx, [rsp + 24]",
                    "mov r8, [rsp + 32]",
                    "mov r9, [rsp + 40]",
                    "add rsp, 56",
                    ".cfi_adjust_cfa_offset -56",
                    // none of the arguments is a floating-point number
                    "xor eax, eax",
                    "jmp r11",
                    ".cfi_endproc",
                    look = sym $look,
                )
            }
        )*
    };
}

#[cfg(target_arch = "x86_64")]
variadic! {
    execl: look_execl;
    execlp: look_execlp;
    execle: look_execle;
}

type Registers = [*const c_char; 6];

#[cfg(target_arch = "x86_64")]
unsafe extern "C" fn look_execl(registers: &Registers, _stack: Strings) -> next::Variadic {
    let [file, ..] = registers;
    // SAFETY: the program's own argument, and the C library's environment.
    unsafe { look(*file, environ) };
    next::execl.get()
}

#[cfg(target_arch = "x86_64")]
unsafe extern "C" fn look_execlp(registers: &Registers, _stack: Strings) -> next::Variadic {
    let [name, ..] = registers;
    // SAFETY: the program's own argument, and the C library's environment.
    unsafe { look_for(*name, environ) };
    next::execlp.get()
}

/// The environment is behind the null that ends the arguments.
#[cfg(target_arch = "x86_64")]
unsafe extern "C" fn look_execle(registers: &Registers, stack: Strings) -> next::Variadic {
    let [file, arguments @ ..] = registers;
    // SAFETY: the program's own arguments, on the stack from the seventh on.
    let on_stack = (0..).map(|index| unsafe { *stack.add(index) });
    let mut behind = arguments.iter().copied().chain(on_stack).skip_while(|argument| !argument.is_null());
    if let (Some(_null), Some(environment)) = (behind.next(), behind.next()) {
        // SAFETY: as above.
        unsafe { look(*file, environment.cast()) };
    }
    next::execle.get()
}
