//! The driver of the `instructions-*` examples: does one named measure a number of times and nothing else, so that the
//! difference between two runs under valgrind is the cost of the repetitions alone.

use std::process::ExitCode;

/// One measure: its name in the figure file, and one repetition of it.
pub type Measure<'a> = (&'a str, &'a mut dyn FnMut());

/// Repeats the measure named by the first argument as often as the second says; without arguments does each once.
pub fn run(measures: &mut [Measure<'_>]) -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (wanted, times) =
        (arguments.next(), arguments.next().and_then(|times| times.parse().ok()).unwrap_or(1_u32));
    let mut known = false;
    for (name, measure) in measures {
        if wanted.as_deref().is_none_or(|wanted| wanted == *name) {
            known = true;
            for _ in 0..times {
                measure();
            }
        }
    }
    if known { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
