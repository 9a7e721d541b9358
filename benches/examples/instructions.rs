//! Encodes or decodes the updates of an arena again and again: what `instructions.sh` counts the instructions of.
//!
//!   instructions <encode|decode> <dense|fast> <repetitions>
//!
//! Prints how many updates one repetition has. All else is done before, and is the same for any number of repetitions.

use std::hint::black_box;
use std::process::ExitCode;

use tickwire_benches::recorded::{Recorded, Writer};
use tickwire_protocol::snapshot::{Coder, DecodedSnapshot, Prior};

const BOTS: u32 = 64;
/// Moments that are measured, and how many lie between two.
const MOMENTS: usize = 8;
const STRIDE: usize = 10;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let run = match arguments[..] {
        [what, coder, repetitions] => parsed(what, coder, repetitions),
        _ => None,
    };
    let Some((is_encode, coder, repetitions)) = run else {
        eprintln!("instructions <encode|decode> <dense|fast> <repetitions>");
        return ExitCode::FAILURE;
    };
    println!("{}", repeat(is_encode, coder, repetitions));
    ExitCode::SUCCESS
}

fn parsed(what: &str, coder: &str, repetitions: &str) -> Option<(bool, Coder, u32)> {
    let is_encode = match what {
        "encode" => true,
        "decode" => false,
        _ => return None,
    };
    let coder = match coder {
        "dense" => Coder::Dense,
        "fast" => Coder::Fast,
        _ => return None,
    };
    Some((is_encode, coder, repetitions.parse().ok()?))
}

/// How many updates were encoded or decoded in one repetition.
fn repeat(is_encode: bool, coder: Coder, repetitions: u32) -> usize {
    let recorded = Recorded::arena(BOTS, MOMENTS * STRIDE);
    let moments: Vec<_> = recorded.moments().step_by(STRIDE).collect();
    let codec = recorded.codec(coder, Prior::default_prior());
    let (mut writer, mut decoded) = (Writer::new(codec.clone()), DecodedSnapshot::default());
    // Once in any case: all is checked, and every buffer has its size.
    let mut payloads = Vec::new();
    for moment in &moments {
        let mut payload = Vec::new();
        writer.write(moment, &moment.plan, &mut payload);
        moment.read(&codec, &payload, &mut decoded);
        moment.check(&decoded);
        payloads.push(payload);
    }
    let mut out = payloads.iter().max_by_key(|payload| payload.len()).cloned().unwrap_or_default();
    for _ in 0..repetitions {
        for (moment, payload) in moments.iter().zip(&payloads) {
            if is_encode {
                out.clear();
                writer.write(black_box(moment), &moment.plan, &mut out);
                assert_eq!(out.len(), payload.len());
            } else {
                moment.read(&codec, black_box(payload), &mut decoded);
            }
        }
    }
    black_box((&out, &decoded));
    moments.iter().map(tickwire_benches::recorded::Moment::rows).sum()
}
