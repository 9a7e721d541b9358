//! The instruction budget: what a tick, a snapshot, a row, a picture cost in instructions, against what is committed.
//!
//! Time differs from run to run on a shared machine; instructions do not, so that a small regression is seen at once. Each
//! workload runs in a process of its own under valgrind's callgrind, which collects only while
//! [`instructions_counted`](tickwire_benches::counted::instructions_counted) runs. A count that is more than the tolerance above its
//! budget fails, and so does one that is as far below: what was won is to be kept.
//!
//! ```text
//! cargo bench -p tickwire-benches --bench instructions                 count, compare with instructions.tsv
//! cargo bench -p tickwire-benches --bench instructions -- --write      count, and make that the budget
//! cargo bench -p tickwire-benches --bench instructions -- picture      only workloads whose name has this in it
//! cargo bench -p tickwire-benches --bench instructions -- --test       do each once, without valgrind
//! ```

use std::collections::BTreeMap;
use std::process::{Command, ExitCode, Output};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, fs, thread};

use tickwire_benches::counted::{ALL, COUNTED, Counted};

/// The budget: a name, a tab, instructions a unit.
const BUDGET: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions.tsv");
/// By how many percent a count may differ from its budget. The same build counts the same; this is room for what is shared with the
/// machine, such as the C library's way to copy memory.
const TOLERANCE: f64 = 3.0;
/// Says which workload the process under valgrind is to do.
const WORKLOAD: &str = "--workload";
/// Before the compiler, in the budget.
const COUNTED_BY: &str = "# Counted with ";
const REWRITE: &str = "cargo bench -p tickwire-benches --bench instructions -- --write";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let has = |option: &str| arguments.iter().any(|argument| argument == option);
    if let [option, name] = &arguments[..]
        && option == WORKLOAD
    {
        return do_workload(name);
    }
    let part = arguments.iter().find(|argument| !argument.starts_with("--")).map_or("", String::as_str);
    let workloads: Vec<Counted> = ALL.iter().filter(|counted| counted.name.contains(part)).copied().collect();
    if has("--test") {
        return all_succeed(workloads.iter().map(|counted| do_workload(counted.name)));
    }
    let counts = match count_all(&workloads) {
        Ok(counts) => counts,
        Err(problem) => {
            eprintln!("instructions cannot be counted: {problem}");
            return ExitCode::FAILURE;
        }
    };
    if has("--write") { write(&counts) } else { compare(&workloads, &counts) }
}

fn all_succeed(results: impl Iterator<Item = ExitCode>) -> ExitCode {
    let failures = results.filter(|result| *result != ExitCode::SUCCESS).count();
    if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Does a workload once; prints how many units it has.
fn do_workload(name: &str) -> ExitCode {
    let Some(counted) = Counted::find(name) else {
        eprintln!("there is no workload {name}");
        return ExitCode::FAILURE;
    };
    println!("{}", counted.run());
    ExitCode::SUCCESS
}

/// Instructions a unit, by name. As many processes at a time as there are cores.
fn count_all(workloads: &[Counted]) -> Result<BTreeMap<&'static str, u64>, String> {
    let next = AtomicUsize::new(0);
    let counts = Mutex::new(Ok(BTreeMap::new()));
    let work = || {
        while let Some(counted) = workloads.get(next.fetch_add(1, Ordering::Relaxed)) {
            let count = count(counted.name);
            let mut counts = counts.lock().expect("nobody panics with it");
            match (count, counts.as_mut()) {
                (Ok(count), Ok(counts)) => drop(counts.insert(counted.name, count)),
                (Err(problem), Ok(_)) => *counts = Err(format!("{}: {problem}", counted.name)),
                (_, Err(_)) => return,
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    counts.into_inner().expect("nobody panicked with it")
}

/// Instructions a unit of one workload.
fn count(name: &str) -> Result<u64, String> {
    let program = env::current_exe().map_err(|error| error.to_string())?;
    let Output { status, stdout, stderr } = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", &format!("--toggle-collect={COUNTED}")])
        .arg(program)
        .args([WORKLOAD, name])
        .output()
        .map_err(|error| format!("valgrind (a package of most systems) does not start: {error}"))?;
    let (said, log) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    if !status.success() {
        return Err(format!("valgrind ended with {status}:\n{log}"));
    }
    let collected = log.split("Collected :").nth(1).and_then(|rest| rest.split_whitespace().next());
    let number = |text: &str| text.trim().parse::<u64>().ok().filter(|number| *number > 0);
    match (collected.and_then(number), number(&said)) {
        (Some(instructions), Some(units)) => Ok(instructions / units),
        _ => Err(format!("nothing was counted:\n{said}\n{log}")),
    }
}

/// Makes these counts the budget; what was not counted stays as it is.
fn write(counts: &BTreeMap<&'static str, u64>) -> ExitCode {
    let known = budget();
    let mut text = format!(
        "# Instructions a unit, within {TOLERANCE} %; see instructions.rs. Do not edit, count anew:\n# {REWRITE}\n{COUNTED_BY}{}\n",
        compiler()
    );
    for counted in ALL {
        if let Some(count) = counts.get(counted.name).or_else(|| known.get(counted.name)) {
            let line = format!("{}\t{count}\n", counted.name);
            text.push_str(&line);
        }
    }
    if let Err(error) = fs::write(BUDGET, text) {
        eprintln!("{BUDGET} cannot be written: {error}");
        return ExitCode::FAILURE;
    }
    println!("{BUDGET} has {} of {} anew", counts.len(), ALL.len());
    ExitCode::SUCCESS
}

/// The compiler on this machine.
fn compiler() -> String {
    let output = Command::new("rustc").arg("--version").output();
    output.map_or_else(
        |_| "an unknown compiler".to_owned(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}

/// Says so if the budget is another compiler's: that alone may be the difference.
fn note_compiler() {
    let text = fs::read_to_string(BUDGET).unwrap_or_default();
    let (then, now) = (text.lines().find_map(|line| line.strip_prefix(COUNTED_BY)).unwrap_or(""), compiler());
    if then != now {
        eprintln!("\nThe budget was counted with {then}, this is {now}.");
    }
}

/// What is committed; nothing of what cannot be read.
fn budget() -> BTreeMap<String, u64> {
    let text = fs::read_to_string(BUDGET).unwrap_or_default();
    let entry = |line: &str| {
        let (name, count) = line.split_once('\t')?;
        Some((name.to_owned(), count.parse().ok()?))
    };
    text.lines().filter(|line| !line.starts_with('#')).filter_map(entry).collect()
}

/// Prints a table, and fails if a count is not within its budget.
fn compare(workloads: &[Counted], counts: &BTreeMap<&'static str, u64>) -> ExitCode {
    let budget = budget();
    println!("{:<18} {:>12} {:>12} {:>8}  a unit is a", "instructions", "counted", "budget", "%");
    let (mut over, mut under) = (0, 0);
    for Counted { name, unit, .. } in workloads {
        let count = counts[name];
        let allowed = budget.get(*name).copied().unwrap_or(0);
        let percent = (count as f64 / allowed as f64 - 1.0) * 100.0;
        println!("{name:<18} {count:>12} {allowed:>12} {percent:>+8.2}  {unit}");
        // A budget that is missing is 0: the count is infinitely far over it.
        over += usize::from(percent > TOLERANCE);
        under += usize::from(percent < -TOLERANCE);
    }
    if over > 0 {
        eprintln!(
            "\n{over} cost more than {TOLERANCE} % over budget. If that is the price of something, say so and\n  {REWRITE}"
        );
    }
    if under > 0 {
        eprintln!(
            "\n{under} cost less than the budget by more than {TOLERANCE} %. Keep what was won:\n  {REWRITE}"
        );
    }
    if over + under == 0 {
        return ExitCode::SUCCESS;
    }
    note_compiler();
    ExitCode::FAILURE
}
