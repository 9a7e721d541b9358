//! `tickwire lab`: how good the motion is on a given link, reproducibly, from a seed.

use std::ops::RangeInclusive;
use std::process::ExitCode;
use std::sync::Mutex;

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use tickwire_lab::{
    ChaosReport, Duel, Figures, LabConfig, Lie, Policy, Profile, Report, run as run_lab, run_chaos,
    run_with_liar,
};
use tickwire_protocol::{Micros, StreamKind};

/// Run a whole server and its clients over simulated links in virtual time, and report how late, how wrong and how rough the
/// motion is. The same seed gives the same report.
#[derive(Args, Clone, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "switches of a command line")]
pub(crate) struct LabArgs {
    /// The link of every client: perfect, lan, wifi, cable, 4g, lossy or satellite
    #[arg(long, default_value = "wifi", value_name = "NAME", value_parser = profile)]
    profile: &'static Profile,

    /// Every profile and both streams
    #[arg(long, conflicts_with_all = ["profile", "stream"])]
    all: bool,

    /// Our own policy beside fixed delays, Mirror's policy and the best fixed delay that is known in hindsight, as a table
    #[arg(long, conflicts_with_all = ["interpolation"])]
    compare: bool,

    /// Clients that play
    #[arg(long, default_value_t = 16, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=256))]
    players: u32,

    /// Length of a run, seconds of virtual time
    #[arg(long, default_value_t = 60, value_name = "S", value_parser = clap::value_parser!(u32).range(5..=3600))]
    seconds: u32,

    /// What chance follows from
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,

    /// Several seeds, pooled, as in `1..20`; both ends belong to it
    #[arg(long, value_name = "A..B", value_parser = seeds, conflicts_with = "seed")]
    seeds: Option<RangeInclusive<u64>>,

    /// What carries the frames
    #[arg(long, value_enum, default_value_t = Stream::Ordered)]
    stream: Stream,

    /// How far behind others are shown: adaptive, fixed:MS, mirror or hindsight
    #[arg(long, default_value = "adaptive", value_name = "POLICY")]
    interpolation: Policy,

    /// Each player in a walled cell of its own
    #[arg(long)]
    peaceful: bool,

    /// One client tells the server that it saw another moment than it did; how often it hits, and the others
    #[arg(long, value_enum, value_name = "LIE", conflicts_with_all = ["all", "compare", "peaceful", "json"])]
    liar: Option<LieName>,

    /// Cut connections at every possible moment, and see whether sessions and messages come through; `--seeds` says how often
    #[arg(long, conflicts_with_all = ["profile", "stream", "all", "compare", "peaceful", "liar", "interpolation"])]
    chaos: bool,

    /// The report as JSON: an object, or a list of them
    #[arg(long)]
    json: bool,

    /// Runs at a time [default: as many as there are cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Stream {
    Ordered,
    Datagram,
}

impl From<Stream> for StreamKind {
    fn from(stream: Stream) -> Self {
        match stream {
            Stream::Ordered => Self::Ordered,
            Stream::Datagram => Self::Datagram,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LieName {
    /// With every input, any moment up to 400 ms away
    Random,
    /// With every shot, any moment up to 400 ms earlier
    Earlier,
    /// With a shot that would miss, the nearest moment up to 400 ms away at which it hits
    Rescue,
    /// The same; between its shots it says that it saw the future
    Silent,
}

impl From<LieName> for Lie {
    fn from(name: LieName) -> Self {
        match name {
            LieName::Random => Self::Random,
            LieName::Earlier => Self::Earlier,
            LieName::Rescue => Self::Rescue,
            LieName::Silent => Self::Silent,
        }
    }
}

/// The profile of this name, or words that name those there are.
pub(crate) fn profile(name: &str) -> Result<&'static Profile, String> {
    Profile::named(name).ok_or_else(|| {
        let names: Vec<_> = Profile::ALL.iter().map(|profile| profile.name).collect();
        format!("no such link; there are {}", names.join(", "))
    })
}

fn seeds(text: &str) -> Result<RangeInclusive<u64>, String> {
    let parsed = text.split_once("..").and_then(|(first, last)| {
        let last = last.strip_prefix('=').unwrap_or(last);
        Some(first.parse().ok()?..=last.parse().ok()?)
    });
    parsed.filter(|seeds| !seeds.is_empty()).ok_or_else(|| format!("`{text}` is not as `1..20` is"))
}

/// Policies that are compared, in the order of the table. `Hindsight` needs the runs of `Adaptive`.
const COMPARED: [Policy; 6] = [
    Policy::Fixed(Micros::from_millis(75)),
    Policy::Fixed(Micros::from_millis(100)),
    Policy::Fixed(Micros::from_millis(150)),
    Policy::Mirror,
    Policy::Hindsight,
    Policy::Adaptive,
];

/// Runs what is asked for.
pub(crate) fn run(args: &LabArgs) -> anyhow::Result<ExitCode> {
    sigpipe::reset();
    let lab = Lab {
        seeds: args.seeds.clone().unwrap_or(args.seed..=args.seed).collect(),
        threads: usize::from(args.threads.unwrap_or_else(cores)),
    };
    if args.chaos {
        return lab.chaos(args.json);
    }
    let mut reports = Vec::new();
    let policies = if args.compare { COMPARED.to_vec() } else { vec![args.interpolation] };
    for (profile, stream) in links(args) {
        let config = LabConfig {
            profile,
            stream,
            players: args.players,
            seconds: args.seconds,
            policy: args.interpolation,
            is_peaceful: args.peaceful,
        };
        if let Some(lie) = args.liar {
            print_duel(&lab.duel(&config, lie.into())?);
            continue;
        }
        let made = lab.reports(&config, &policies)?;
        if !args.json {
            print(&made, args.compare);
        }
        reports.extend(made);
    }
    if args.json {
        let json = match reports.as_slice() {
            [report] => serde_json::to_string_pretty(report)?,
            reports => serde_json::to_string_pretty(reports)?,
        };
        println!("{json}");
    }
    // A client that is let go, or corrected without a reason, is the engine's fault whatever the link.
    let is_sound = reports
        .iter()
        .all(|report| report.figures.disconnects == 0 && report.figures.corrections_unexplained == 0);
    Ok(if is_sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn cores() -> u16 {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().min(64) as u16)
}

/// What is to be run over: one link, or all of them.
fn links(args: &LabArgs) -> Vec<(&'static Profile, StreamKind)> {
    if !args.all {
        return vec![(args.profile, args.stream.into())];
    }
    let both = [StreamKind::Ordered, StreamKind::Datagram];
    Profile::ALL.iter().flat_map(|profile| both.map(|stream| (profile, stream))).collect()
}

/// Seeds, and how many are run at a time.
struct Lab {
    seeds: Vec<u64>,
    threads: usize,
}

impl Lab {
    /// A report for each policy, in the order given.
    fn reports(&self, config: &LabConfig, policies: &[Policy]) -> anyhow::Result<Vec<Report>> {
        let of = |policy| LabConfig { policy, ..*config };
        let needs_adaptive =
            policies.iter().any(|policy| matches!(policy, Policy::Adaptive | Policy::Hindsight));
        let adaptive = if needs_adaptive { self.runs(|_| of(Policy::Adaptive))? } else { Vec::new() };
        let mut reports = Vec::new();
        for &policy in policies {
            let runs = match policy {
                Policy::Adaptive => adaptive.clone(),
                Policy::Hindsight => {
                    self.runs(|index| of(Policy::Fixed(adaptive[index].1.hindsight_delay())))?
                }
                Policy::Fixed(_) | Policy::Mirror => self.runs(|_| of(policy))?,
            };
            reports.push(Report::new(&of(policy), &runs));
        }
        Ok(reports)
    }

    /// Runs every seed; `config` is asked for the place of each.
    fn runs(&self, config: impl Fn(usize) -> LabConfig + Sync) -> anyhow::Result<Vec<(u64, Figures)>> {
        self.each(|index| run_lab(&config(index), self.seeds[index]))
    }

    /// Chaos from every seed. Of those that find something, the commands that find it again.
    fn chaos(&self, json: bool) -> anyhow::Result<ExitCode> {
        let mut pooled = ChaosReport::default();
        for (seed, report) in self.each(|index| run_chaos(self.seeds[index]))? {
            pooled.merge(&report);
            if !report.is_sound() {
                eprintln!("to see it again: tickwire lab --chaos --seed {seed}");
            }
        }
        if json {
            println!("{}", serde_json::to_string_pretty(&pooled)?);
        } else {
            print!("{pooled}");
        }
        Ok(if pooled.is_sound() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// A liar's hits over all seeds.
    fn duel(&self, config: &LabConfig, lie: Lie) -> anyhow::Result<Duel> {
        let duels = self.each(|index| run_with_liar(config, self.seeds[index], lie))?;
        let mut pooled = Duel::default();
        for (_, duel) in duels {
            pooled.liar.merge(duel.liar);
            pooled.honest.merge(duel.honest);
        }
        Ok(pooled)
    }

    /// Does something for the place of every seed, some at a time.
    fn each<T: Send>(&self, run: impl Fn(usize) -> T + Sync) -> anyhow::Result<Vec<(u64, T)>> {
        let next = Mutex::new(0..self.seeds.len());
        let done = Mutex::new(Vec::new());
        let take = || next.lock().ok().and_then(|mut next| next.next());
        std::thread::scope(|scope| {
            for _ in 0..self.threads.min(self.seeds.len()) {
                scope.spawn(|| {
                    while let Some(index) = take() {
                        let made = run(index);
                        if let Ok(mut done) = done.lock() {
                            done.push((self.seeds[index], made));
                        }
                    }
                });
            }
        });
        let mut done = done.into_inner().ok().context("a run has panicked")?;
        if done.len() != self.seeds.len() {
            bail!("a run has panicked");
        }
        done.sort_by_key(|&(seed, _)| seed);
        Ok(done)
    }
}

fn print(reports: &[Report], as_table: bool) {
    if as_table {
        print_table(reports);
        return;
    }
    for report in reports {
        println!("{report}");
    }
}

fn print_duel(duel: &Duel) {
    let Duel { liar, honest } = duel;
    for (name, hits) in [("liar", liar), ("honest", honest)] {
        println!(
            "{name:8}{:.2} % of {} shots hit, standard error {:.2} %",
            hits.ratio() * 100.0,
            hits.shots,
            hits.standard_error() * 100.0
        );
    }
    println!("the liar's advantage is {:.2} standard errors", duel.advantage());
}

fn print_table(reports: &[Report]) {
    let Some(first) = reports.first() else { return };
    println!(
        "{}, {}, {} players, {} s, {} seeds",
        first.profile,
        first.stream,
        first.players,
        first.seconds,
        first.seeds.len()
    );
    println!(
        "| policy | delay mean ms | p50 | starved % | rate p0.1 | p99.9 | error rms cm, of it bound | fresh rms cm, of it bound | jumps/min | freezes/min |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for Report { interpolation, figures, .. } in reports {
        println!(
            "| {interpolation} | {:.1} | {:.1} | {:.3} | {:.3} | {:.3} | {:.2}, {:.2} | {:.2}, {:.2} | {:.2} | {:.2} |",
            figures.view_delay_ms.mean,
            figures.view_delay_ms.p50,
            figures.starved_ratio * 100.0,
            figures.view_rate.p0_1,
            figures.view_rate.p99_9,
            figures.remote_error_cm.rms,
            figures.remote_error_bound_cm.rms,
            figures.remote_error_fresh_cm.rms,
            figures.remote_error_fresh_bound_cm.rms,
            figures.jumps_per_min,
            figures.freezes_per_min
        );
    }
    println!();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_a_range_with_both_ends() {
        assert_eq!(seeds("1..20"), Ok(1..=20));
        assert_eq!(seeds("7..=7"), Ok(7..=7));
        for text in ["", "1", "2..1", "a..b", "1..", "-1..2"] {
            assert!(seeds(text).is_err(), "{text}");
        }
    }
}
