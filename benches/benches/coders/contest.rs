//! The codings, the updates that all of them are given, and the judge.

use std::hint::black_box;
use std::time::{Duration, Instant};

use tickwire_benches::recorded::{Moment, Recorded};
use tickwire_protocol::schema::Sight;
use tickwire_protocol::snapshot::{Coder, Prior};
use tickwire_protocol::{KindId, RowRef};

use crate::codings::{PlainDelta, Tickwire};
use crate::structs::{Row, codings_of_structs};

/// The one kind of the states that are measured.
pub(crate) const KIND: KindId = KindId(0);

/// An entity's slot, and the columns that everyone sees.
pub(crate) type Told = (u16, Vec<i32>);

/// The updates of one snapshot, in the form that each coding takes them from.
pub(crate) struct Case<R> {
    /// For Tickwire: tables, plan, replica.
    pub(crate) moment: Moment,
    /// For those that send whole rows: the game's structs.
    pub(crate) structs: Vec<R>,
    /// For the plain delta: slots and new values of what is told.
    pub(crate) told: Vec<Told>,
    /// By slot: the values that the receiver holds, from the snapshot before.
    pub(crate) held: Vec<Vec<i32>>,
}

impl<R: Row> Case<R> {
    fn new(moment: Moment) -> Self {
        let mut held = Vec::new();
        for (id, old, _) in moment.updates() {
            let slot = usize::from(id.slot);
            held.resize_with(held.len().max(slot + 1), Vec::new);
            held[slot] = public(old);
        }
        let told: Vec<_> = moment.updates().map(|(id, _, new)| (id.slot, public(new))).collect();
        let structs = told.iter().map(|(slot, columns)| R::new(*slot, columns)).collect();
        Self { moment, structs, told, held }
    }

    pub(crate) fn rows(&self) -> usize {
        self.told.len()
    }
}

fn public(row: RowRef<'_>) -> Vec<i32> {
    let visible = row.kind().visible(Sight::Public);
    (0..row.kind().column_count())
        .filter(|&column| visible.contains(column))
        .map(|column| row.column(column))
        .collect()
}

/// A way to make updates bytes.
pub(crate) trait Coding<R> {
    fn name(&self) -> &'static str;

    /// Appends the updates to `out`.
    fn encode(&mut self, case: &Case<R>, out: &mut Vec<u8>);

    /// Reads them and keeps the whole rows.
    fn decode(&mut self, case: &Case<R>, payload: &[u8]);

    /// The rows read last.
    fn told(&self) -> Vec<Told>;
}

/// What was found of a coding.
pub(crate) struct Measured {
    pub(crate) name: &'static str,
    pub(crate) bytes: usize,
    pub(crate) encode: Duration,
    pub(crate) decode: Duration,
}

/// Every coding, and the cases.
pub(crate) struct Contest<R> {
    pub(crate) cases: Vec<Case<R>>,
    pub(crate) entries: Vec<Entry<R>>,
}

/// A coding, and the bytes of every case.
pub(crate) struct Entry<R> {
    pub(crate) coding: Box<dyn Coding<R>>,
    pub(crate) payloads: Vec<Vec<u8>>,
}

impl<R: Row> Contest<R> {
    /// Encodes every case with every coding, and checks that it decodes to what was published.
    pub(crate) fn new(recorded: &Recorded, moments: impl Iterator<Item = Moment>) -> Self {
        let cases: Vec<_> = moments.map(Case::new).collect();
        let tickwire = |name, coder| Tickwire::new(name, recorded.codec(coder, Prior::default_prior()));
        let mut codings: Vec<Box<dyn Coding<R>>> = vec![
            Box::new(tickwire("tickwire dense", Coder::Dense)),
            Box::new(tickwire("tickwire fast", Coder::Fast)),
            Box::new(PlainDelta::new(recorded.schema().kind(KIND))),
        ];
        codings.extend(codings_of_structs());
        let checked = |mut coding: Box<dyn Coding<R>>| {
            let payloads = cases.iter().map(|case| checked_payload(coding.as_mut(), case)).collect();
            Entry { coding, payloads }
        };
        Self { entries: codings.into_iter().map(checked).collect(), cases }
    }

    /// The quickest of some passes over all cases: others were disturbed.
    pub(crate) fn measure(&mut self, passes: usize) -> Vec<Measured> {
        let cases = &self.cases;
        let measured = self.entries.iter_mut().map(|Entry { coding, payloads }| {
            let (mut encode, mut decode) = (Duration::MAX, Duration::MAX);
            let mut out = Vec::new();
            for _ in 0..passes {
                let start = Instant::now();
                for case in cases {
                    out.clear();
                    coding.encode(black_box(case), &mut out);
                    black_box(&out);
                }
                encode = encode.min(start.elapsed());
                let start = Instant::now();
                for (case, payload) in cases.iter().zip(&*payloads) {
                    coding.decode(case, black_box(payload));
                }
                decode = decode.min(start.elapsed());
            }
            let bytes = payloads.iter().map(Vec::len).sum();
            Measured { name: coding.name(), bytes, encode, decode }
        });
        measured.collect()
    }
}

fn checked_payload<R: Row>(coding: &mut dyn Coding<R>, case: &Case<R>) -> Vec<u8> {
    let mut payload = Vec::new();
    coding.encode(case, &mut payload);
    coding.decode(case, &payload);
    assert!(coding.told() == case.told, "{} gives back what it was given", coding.name());
    payload
}
