//! `scenes stats [ticks]`: what the scenes are like. `scenes prior FILE`: the default prior, learned from them.

use tickwire_scenes::stats::Stats;

const USAGE: &str = "usage: scenes stats [ticks] | scenes prior FILE";

/// Seed of the default prior.
const SEED: u64 = 1;

fn main() -> Result<(), String> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let ticks = match &arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["prior", file] => return write_prior(file),
        ["stats"] => 1200,
        ["stats", ticks] => ticks.parse().map_err(|_| format!("`{ticks}` is no number; {USAGE}"))?,
        _ => return Err(USAGE.to_owned()),
    };
    print_stats(ticks);
    Ok(())
}

fn print_stats(ticks: u32) {
    println!(
        "{:<14} {:>4} {:>6} {:>7} {:>13} {:>14} {:>10} {:>9}",
        "scene", "Hz", "rows", "frames", "moved a tick", "moved a frame", "teleports", "at bounds"
    );
    for scene in tickwire_scenes::all() {
        let stats = Stats::of(&scene, ticks, 1);
        println!(
            "{:<14} {:>4} {:>6.0} {:>7} {:>12.1}% {:>13.1}% {:>10} {:>9}",
            scene.name,
            scene.rate.hz(),
            stats.rows as f64 / f64::from(stats.ticks.max(1)),
            stats.frames,
            100.0 * stats.moving(),
            100.0 * stats.frame_moving(),
            stats.teleported,
            stats.at_bounds
        );
    }
}

fn write_prior(file: &str) -> Result<(), String> {
    let prior = tickwire_scenes::train::default_prior(SEED, |line| eprintln!("{line}"));
    std::fs::write(file, prior.encoded()).map_err(|error| format!("{file}: {error}"))?;
    println!("{file}: {} bytes, hash {:016x}", prior.encoded().len(), prior.hash());
    Ok(())
}
