//! Tables: from the left side of a row to the right.

use glam::Quat;
use tickwire_protocol::bits::BitWriter;
use tickwire_protocol::frame::{FrameType, write_frame};
use tickwire_protocol::hash::{WordHash, bytes_hash};
use tickwire_protocol::quantize;
use tickwire_protocol::schema::{Column, RotationLattice};

use super::frames::reject;
use super::page::{hex, numbers, parse};

pub(crate) fn table_row(table: &str, input: &str) -> String {
    match table {
        "bits" => bits_row(input),
        "varint" => {
            let mut out = Vec::new();
            write_frame(&mut out, FrameType::Snapshot, &vec![0; parse(input)]);
            let header = out.len() - parse::<usize>(input);
            hex(&out[..header - 1])
        }
        "gamma" => gamma_row(parse(input)),
        "cold" => cold_row(input),
        "reject" => {
            let mut out = Vec::new();
            reject(input).encode(&mut out);
            hex(&out[2..])
        }
        "fnv" => format!("{:016x}", bytes_hash(input.as_bytes())),
        "words" => {
            let words: Vec<u32> = numbers(input);
            let hash =
                words[2..].iter().fold(WordHash::new(words[0], words[1]), |hash, &word| hash.word(word));
            format!("{:016x}", hash.finish())
        }
        _ => quantized_row(table, &numbers(input)),
    }
}

fn bits_row(input: &str) -> String {
    let mut out = Vec::new();
    let mut w = BitWriter::new(&mut out);
    for field in input.split(' ') {
        let (width, value) = field.split_once(':').unwrap();
        w.bits(parse(value), parse(width));
    }
    w.finish();
    hex(&out)
}

fn gamma_row(value: u32) -> String {
    let mut out = Vec::new();
    let mut w = BitWriter::new(&mut out);
    w.gamma(value);
    // A last one, so that the code's own end can be seen behind the padding.
    w.flag(true);
    w.finish();
    let bits: String = out
        .iter()
        .flat_map(|byte| (0..8).map(move |bit| if byte >> bit & 1 == 1 { '1' } else { '0' }))
        .collect();
    bits.trim_end_matches('0').strip_suffix('1').unwrap().to_owned()
}

/// The cold encoding as the crate that writes it has it; the page must describe the same.
fn cold_row(input: &str) -> String {
    fn cold(value: impl bincode::Encode) -> String {
        hex(&bincode::encode_to_vec(value, bincode::config::standard()).unwrap())
    }
    match input.split_once(' ').unwrap() {
        ("u64", value) => cold(parse::<u64>(value)),
        ("i32", value) => cold(parse::<i32>(value)),
        ("bool", value) => cold(parse::<bool>(value)),
        ("f64", value) => cold(parse::<f64>(value)),
        ("text", value) => cold(value),
        ("option", value) => cold(value.parse::<u8>().ok()),
        (other, _) => panic!("no cold type is called {other}"),
    }
}

fn quantized_row(table: &str, input: &[f64]) -> String {
    let column = |min, max| Column { min, max, bits: 32, wraps: false, threshold: 0, rate_hz: None };
    let four = || std::array::from_fn(|index| input[index]);
    let joined =
        |numbers: &[f64]| numbers.iter().map(|n| (*n as f32).to_string()).collect::<Vec<_>>().join(" ");
    let single = |number: i32| joined(&[number.into()]);
    let lattice = if table.ends_with("full") { RotationLattice::Full } else { RotationLattice::WithZero };
    match (table, input) {
        ("lattice", &[value, step, min, max]) => {
            single(quantize::lattice(value as f32, step, &column(min as i32, max as i32)))
        }
        ("lattice-value", &[point, step]) => joined(&[quantize::lattice_value(point as i32, step).into()]),
        ("angle", &[radians, bits]) => single(quantize::angle(radians as f32, bits as u8)),
        ("angle-value", &[point, bits]) => joined(&[quantize::angle_value(point as i32, bits as u8).into()]),
        ("rotation" | "rotation-full", &[.., bits]) => {
            let rotation = Quat::from_array(four().map(|component: f64| component as f32));
            joined(&quantize::rotation(rotation, bits as u8, lattice).map(f64::from))
        }
        ("rotation-value" | "rotation-value-full", &[.., bits]) => {
            let columns = four().map(|point: f64| point as i32);
            let value = quantize::rotation_value(columns, bits as u8, lattice);
            joined(&value.to_array().map(f64::from))
        }
        _ => panic!("no table of {} numbers is called {table}", input.len()),
    }
}
