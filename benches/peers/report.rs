//! What the run found: a row for each contender, printed as a table.

use std::io;
use std::time::Duration;

use crate::contender::Contender;
use crate::load::Sample;
use benches::{cost, machine};

/// One contender and everything measured of it.
pub(crate) struct Row {
    pub(crate) contender: Contender,
    steady: Vec<Turn>,
    saturated: Vec<Turn>,
    /// Processor seconds a GiB.
    pub(crate) bulk: Option<f64>,
    /// Octets an idle connection.
    pub(crate) idle: Option<f64>,
}

/// One turn: microseconds of the contender's processor time a connection, connections a second, latencies.
struct Turn {
    cost: f64,
    rate: f64,
    half: Duration,
    most: Duration,
}

impl Row {
    pub(crate) fn new(contender: Contender) -> Self {
        Self { contender, steady: Vec::new(), saturated: Vec::new(), bulk: None, idle: None }
    }

    /// One turn of each kind; a rehearsal is not kept.
    ///
    /// # Errors
    /// When the contender loses a connection.
    pub(crate) fn turn(
        &mut self,
        connections: usize,
        in_flight: usize,
        burst: usize,
        rehearsal: bool,
    ) -> io::Result<()> {
        let target = self.contender.measured();
        let pid = self.contender.pid();
        let steady = turn(pid, || target.steady(connections, in_flight))?;
        let mut saturated =
            turn(pid, || target.batches(connections, burst, |stopped| cost::hold(pid, stopped)))?;
        saturated.cost -= cost::of_holding(pid, connections.div_ceil(burst))? / connections as f64;
        if !rehearsal {
            self.steady.push(steady);
            self.saturated.push(saturated);
        }
        Ok(())
    }

    /// Median microseconds of processor time a connection.
    pub(crate) fn steady_cost(&self) -> f64 {
        median(self.steady.iter().map(|turn| turn.cost))
    }

    /// The same with a full queue at every wake-up, less what sleeping and waking up alone costs.
    pub(crate) fn saturated_cost(&self) -> f64 {
        median(self.saturated.iter().map(|turn| turn.cost))
    }
}

fn turn(pid: u32, run: impl FnOnce() -> io::Result<Sample>) -> io::Result<Turn> {
    let before = cost::processor_time(pid)?;
    let mut sample = run()?;
    let spent = Duration::from_nanos(cost::processor_time(pid)? - before);
    sample.latencies.sort_unstable();
    let count = sample.latencies.len();
    Ok(Turn {
        cost: spent.as_secs_f64() * 1e6 / count as f64,
        rate: count as f64 / sample.elapsed.as_secs_f64(),
        half: sample.latencies[count / 2],
        most: sample.latencies[count * 99 / 100],
    })
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Prints the machine and the table, in Markdown.
pub(crate) fn print(rows: &[Row], core: usize, in_flight: usize) {
    println!(
        "\n{}; everything on processor {core}, {in_flight} connections in flight, medians of {} rounds.\n",
        machine(),
        rows.first().map_or(0, |row| row.steady.len())
    );
    println!(
        "| | CPU µs a connection | × | saturated | × | connections/s | p50 µs | p99 µs | s CPU a GiB | octets an idle connection |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|");
    let floor = rows.iter().find(|row| row.contender.kind.is_reference());
    for row in rows {
        let ratio = |cost: fn(&Row) -> f64| {
            floor.map_or_else(String::new, |floor| format!("{:.2}", cost(row) / cost(floor)))
        };
        let micros = |pick: fn(&Turn) -> Duration| {
            median(row.steady.iter().map(|turn| pick(turn).as_secs_f64() * 1e6))
        };
        println!(
            "| {} | {:.1} | {} | {:.1} | {} | {:.0} | {:.0} | {:.0} | {} | {} |",
            row.contender.kind.name(),
            row.steady_cost(),
            ratio(Row::steady_cost),
            row.saturated_cost(),
            ratio(Row::saturated_cost),
            median(row.steady.iter().map(|turn| turn.rate)),
            micros(|turn| turn.half),
            micros(|turn| turn.most),
            row.bulk.map_or_else(String::new, |seconds| format!("{seconds:.2}")),
            row.idle.map_or_else(String::new, |octets| format!("{octets:.0}")),
        );
    }
}
