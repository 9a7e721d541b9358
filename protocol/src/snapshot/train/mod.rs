//! Makes a prior from recorded states.
//!
//! A trainer is shown the plans that an encoder would write. It walks their rows like the encoder, and fits the weights of
//! every site (or role) and class: of guesses by least squares that doubt outliers, of scales and odds by Newton's steps
//! towards the fewest bits. The tables are then counted. Nothing is random: the same plans give the same prior, bit for bit,
//! on one target.

//!
//! | file | what it decides |
//! |---|---|
//! | `corpus` | which rows are kept, and what a pupil sees of them |
//! | `keys` | what can be learned: sites or roles |
//! | `pupil` | what a row teaches |
//! | `lessons` | what rows taught together, and the weights that follow |
//! | `equations` | least squares |

mod corpus;
mod equations;
mod keys;
mod lessons;
mod pupil;

use std::sync::Arc;

use super::dense::Table;
use super::fast::Codes;
use super::frequencies::{DIAL, Dial};
use super::prior::{DIALS, Learned, Prior};
use super::section::{RowSource, dial_numbers, which_dial};
use super::{Codec, Coder, PlannedRow, SectionPlan};
use crate::history::History;
use crate::limits::{PRIOR_BYTES_MAX, REFERENCES_PER_ROW_MAX};
use crate::schema::Schema;
use crate::time::TickRate;

use corpus::{Corpus, Step};
use keys::Keys;
use lessons::{Lessons, SEEN_MIN};

/// Times that all rows are walked for each coder.
const PASSES: u32 = 18;

/// Collects rows, then learns.
#[derive(Debug, Default)]
pub struct Trainer {
    corpora: Vec<Corpus>,
}

/// What a prior is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Target {
    /// Any schema: what is learned belongs to roles.
    Any,
    /// The schemas that the plans shown were of: what is learned belongs to names of kinds and fields.
    Schema,
}

impl Trainer {
    /// One that was shown nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a recording: what is shown from now on is of this schema. `weight` is how much each of its rows counts.
    pub fn begin(&mut self, schema: Arc<Schema>, rate: TickRate, weight: f64) {
        let codec = Arc::new(Codec::with(schema.clone(), rate, Coder::Fast, Prior::untrained()));
        self.corpora.push(Corpus {
            schema,
            rate,
            codec,
            examples: Vec::new(),
            values: Vec::new(),
            passed: 0,
            weight,
            missing: [0.0; DIAL],
            steps: Vec::new(),
        });
    }

    /// Shows the rows of a plan for the newest tick of `history`.
    ///
    /// # Panics
    /// If nothing was begun: a mistake of the caller.
    pub fn show(&mut self, history: &History, plan: &SectionPlan) {
        let corpus = self.corpora.last_mut().expect("`begin` comes first");
        let codec = corpus.codec.clone();
        let Some(source) = RowSource::of(&codec, history, &|_| None) else { return };
        if !plan.against.is_empty() {
            corpus.missing[REFERENCES_PER_ROW_MAX - plan.against.len()] += 1.0;

            let numbers = dial_numbers(source.newest.tick(), &plan.against).enumerate();
            corpus.steps.extend(numbers.map(|(place, (number, step))| Step {
                is_first: place == 0,
                number,
                ticks: step,
            }));
        }
        let place = |row: &PlannedRow| (row.kind, row.row);
        for row in &plan.held {
            let is_news = plan.rows.binary_search_by_key(&place(row), place).is_ok();
            corpus.keep(source, row, is_news);
        }
        if plan.against.is_empty() {
            plan.rows.iter().for_each(|row| corpus.keep(source, row, true));
        }
    }

    /// How many rows were kept.
    pub fn examples(&self) -> usize {
        self.corpora.iter().map(|corpus| corpus.examples.len()).sum()
    }

    /// Learns from all that was shown.
    pub fn learn(&self, target: Target) -> Arc<Prior> {
        let mut learned = Learned::nothing();
        let keys = Keys::of(&self.corpora, target);
        for is_dense in [false, true] {
            for pass in 0..PASSES {
                let lessons = self.walk(&learned, &keys, is_dense, pass);
                learned.models[usize::from(is_dense)] = lessons.models(&keys, &learned, is_dense, pass);
            }
        }
        self.fit(learned, &keys)
    }

    /// Leaves out what was seen least until the prior is small enough, then counts the tables.
    fn fit(&self, mut learned: Learned, keys: &Keys) -> Arc<Prior> {
        let counts = self.walk(&learned, keys, true, PASSES);
        let rare = self.walk(&learned, keys, false, PASSES);
        let mut seen_min = SEEN_MIN;
        learned.dials = self.dials(&learned.dials);
        loop {
            for (is_dense, counts) in [(false, &rare), (true, &counts)] {
                learned.models[usize::from(is_dense)]
                    .retain(|model| counts.seen(keys, model.key, model.class) >= seen_min);
            }
            let last = self.walk(&learned, keys, true, PASSES);
            learned.tables = last.tokens.iter().map(|counts| Table::counted(counts)).collect();
            let last_fast = self.walk(&learned, keys, false, PASSES);
            learned.codes = Codes::counted(&last_fast.fast_tokens);
            learned.odds = core::array::from_fn(|step| {
                let [no, yes] = last.odds[step];
                ((yes + 0.4) / (yes + no + 0.8) * 65_536.0).clamp(16.0, 65_520.0) as u16
            });
            let prior = Prior::from_learned(learned.clone());
            if prior.encoded().len() <= PRIOR_BYTES_MAX {
                return prior;
            }
            seen_min *= 1.5;
        }
    }

    /// Chances of the ticks that are named.
    fn dials(&self, untrained: &[Dial; DIALS]) -> [Dial; DIALS] {
        let mut counts = [[0.0; DIAL]; DIALS];
        for corpus in &self.corpora {
            for (count, missing) in counts[0].iter_mut().zip(corpus.missing) {
                *count += missing * corpus.weight;
            }
            for step in corpus.steps.iter().filter(|step| step.is_first) {
                counts[1][step.number as usize] += corpus.weight;
            }
        }
        let mut dials = untrained.clone();
        dials[0] = Dial::seen(&counts[0]);
        dials[1] = Dial::seen(&counts[1]);
        for corpus in &self.corpora {
            let mut before = None;
            for step in &corpus.steps {
                before = before.filter(|_| !step.is_first);
                if before.is_some() {
                    counts[which_dial(&dials, before)][step.number as usize] += corpus.weight;
                }
                before = Some(step.ticks);
            }
        }
        counts.map(|counts| Dial::seen(&counts))
    }

    fn walk(&self, learned: &Learned, keys: &Keys, is_dense: bool, pass: u32) -> Lessons {
        let mut lessons = Lessons::new(keys.all.len(), pass);
        for (number, corpus) in self.corpora.iter().enumerate() {
            let plans = corpus.plans(learned, is_dense);
            for example in &corpus.examples {
                corpus.teach(example, &plans, &keys.sites[number], is_dense, &mut lessons);
            }
        }
        lessons
    }
}

#[cfg(test)]
mod tests {
    use super::corpus::Fate;
    use super::*;
    use crate::ids::EntityId;
    use crate::limits::BODY_BYTES_MAX;
    use crate::schema::{Field, FieldId, FieldType, Kind, KindId, Sight};
    use crate::snapshot::{BodyPlan, EncodedBody, RowCache};
    use crate::table::{RowHead, Tables};
    use crate::time::Tick;

    const THING: KindId = KindId(0);

    /// Things on circles, each as fast as its number says.
    fn schema() -> Arc<Schema> {
        let place = Field::new(FieldId(0), "place", FieldType::position([-50.0..=50.0, -50.0..=50.0], 0.01));
        let kind = Kind::new(THING, "thing", [place, Field::new(FieldId(1), "on", FieldType::boolean())]);
        Schema::builder("circles").kind(kind).build().unwrap()
    }

    fn circles(from: u32, ticks: u32, mut visit: impl FnMut(&History, &SectionPlan)) {
        let rate = TickRate::new(60).unwrap();
        let mut history = History::new(schema(), rate);
        for tick in from..from + ticks {
            let mut tables = Tables::new(schema());
            for slot in 0..20_u16 {
                let angle = tick as f32 * 0.004 * f32::from(slot + 1);
                let [x, y] = glam::Vec2::from_angle(angle).to_array().map(|part| (part * 3000.0) as i32);
                let row = [x, y, i32::from(tick / 50 % 2 == 0)];
                tables.insert(THING, RowHead::new(EntityId { slot, generation: 1 })).copy_from(&row);
            }
            tables.finish();
            history.publish(Tick(tick), &tables);
            if tick >= from + 9 {
                let mut plan = SectionPlan::default();
                for back in [3, 6, 9] {
                    plan.against.push(Tick(tick - back));
                }
                plan.rows = (0..20)
                    .map(|row| PlannedRow {
                        kind: THING,
                        row,
                        sight: Sight::Public,
                        references: plan.against,
                    })
                    .collect();
                plan.held.clone_from(&plan.rows);
                visit(&history, &plan);
            }
        }
    }

    fn bytes(coder: Coder, prior: &Arc<Prior>) -> usize {
        let codec = Codec::with(schema(), TickRate::new(60).unwrap(), coder, prior.clone());
        let (mut rows, mut body, mut bytes) = (RowCache::default(), EncodedBody::default(), 0);
        circles(5000, 60, |history, plan| {
            let plan = BodyPlan { cues: Vec::new(), section: plan.clone() };
            codec.write_body(history, &plan, &|_| None, BODY_BYTES_MAX, &mut rows, &mut body);
            bytes += body.byte_len();
        });
        bytes
    }

    #[test]
    fn what_was_learned_saves_bytes() {
        let mut trainer = Trainer::new();
        trainer.begin(schema(), TickRate::new(60).unwrap(), 1.0);
        circles(0, 400, |history, plan| trainer.show(history, plan));
        assert!(trainer.examples() > 7000);
        for target in [Target::Any, Target::Schema] {
            let prior = trainer.learn(target);
            assert_eq!(prior.is_for(&schema()), target == Target::Schema);
            for coder in [Coder::Dense, Coder::Fast] {
                let (before, after) = (bytes(coder, &Prior::untrained()), bytes(coder, &prior));
                assert!(after * 3 < before * 2, "{coder:?}: {before} bytes, then {after}");
            }
        }
    }

    #[test]
    fn the_same_rows_teach_the_same() {
        let learn = || {
            let mut trainer = Trainer::new();
            trainer.begin(schema(), TickRate::new(60).unwrap(), 1.0);
            circles(0, 60, |history, plan| trainer.show(history, plan));
            trainer.learn(Target::Any).hash()
        };
        assert_eq!(learn(), learn());
    }

    #[test]
    fn what_only_the_owner_is_told_keeps_nobody_from_resting() {
        let place = Field::new(FieldId(0), "place", FieldType::integer(0..=99));
        let fuel = Field::new(FieldId(1), "fuel", FieldType::integer(0..=99)).owner_only();
        let kind = Kind::new(THING, "thing", [place, fuel]);
        let schema = Schema::builder("parked").kind(kind).build().unwrap();
        let rate = TickRate::new(60).unwrap();
        let mut history = History::new(schema.clone(), rate);
        let mut trainer = Trainer::new();
        trainer.begin(schema.clone(), rate, 1.0);
        for tick in 0..20_u32 {
            let mut tables = Tables::new(schema.clone());
            // The fuel is used up while the thing stands, but for a rest.
            let row = [5, 10_u32.saturating_sub(tick).max(3) as i32];
            tables.insert(THING, RowHead::new(EntityId { slot: 0, generation: 1 })).copy_from(&row);
            tables.finish();
            history.publish(Tick(tick), &tables);
            if tick >= 6 {
                let mut plan = SectionPlan::default();
                plan.against.push(Tick(tick - 6));
                let references = plan.against;
                plan.rows.push(PlannedRow { kind: THING, row: 0, sight: Sight::Public, references });
                plan.held.clone_from(&plan.rows);
                trainer.show(&history, &plan);
                if history.track(THING, 0).is_at_rest {
                    break;
                }
            }
        }
        let fates: Vec<_> = trainer.corpora[0].examples.iter().map(|example| example.fate).collect();
        assert_eq!(fates.last(), Some(&Fate::Rests), "{fates:?}");
    }
}
