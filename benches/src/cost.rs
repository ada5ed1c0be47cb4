//! What a process has cost: processor time in nanoseconds, resident memory in octets.

use std::io;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{CpuSet, sched_setaffinity};

/// Pins this process, and with it every process it starts, to one processor.
///
/// # Errors
/// Those of `sched_setaffinity`.
pub fn pin(core: Option<usize>) -> io::Result<usize> {
    let core = core.unwrap_or_else(|| std::thread::available_parallelism().map_or(0, |n| n.get() - 1));
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set)?;
    Ok(core)
}

/// Processor time of all living threads of a process, in nanoseconds.
///
/// # Errors
/// When the process is gone.
pub fn processor_time(pid: u32) -> io::Result<u64> {
    let mut sum = 0;
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let line = std::fs::read_to_string(task?.path().join("schedstat"))?;
        sum += line.split(' ').next().and_then(|word| word.parse::<u64>().ok()).unwrap_or(0);
    }
    Ok(sum)
}

/// Memory a process has to itself, in octets.
///
/// # Errors
/// When the process is gone.
pub fn memory(pid: u32) -> io::Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let kilobytes = text.lines().find_map(|line| {
        line.strip_prefix("RssAnon:")?.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()
    });
    Ok(kilobytes.unwrap_or(0) * 1024)
}

/// Stops a process, or lets it go on.
///
/// # Errors
/// When the process is gone.
pub fn hold(pid: u32, stopped: bool) -> io::Result<()> {
    let pid = Pid::from_raw(pid.cast_signed()).ok_or(io::ErrorKind::InvalidInput)?;
    kill_process(pid, if stopped { Signal::STOP } else { Signal::CONT })?;
    Ok(())
}

/// Microseconds of processor time that a process spends on being stopped and let go on so many times, every thread of it
/// for itself: nothing that would be there if the process never ran out of work.
///
/// # Errors
/// When the process is gone.
pub fn of_holding(pid: u32, times: usize) -> io::Result<f64> {
    let before = processor_time(pid)?;
    for stopped in [true, false].into_iter().cycle().take(2 * times) {
        hold(pid, stopped)?;
        std::thread::sleep(Duration::from_micros(500));
    }
    Ok(Duration::from_nanos(processor_time(pid)? - before).as_secs_f64() * 1e6)
}
