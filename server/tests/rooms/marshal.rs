//! A game that does as it is told.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use tickwire_protocol::schema::SchemaBuilder;
use tickwire_sim::prelude::*;

/// What a step does.
type Order = Box<dyn FnOnce(&mut StepContext<'_>) + Send>;

/// Does in each step what was ordered since the last.
pub(crate) struct Marshal {
    schema: Arc<Schema>,
    orders: Receiver<Order>,
}

/// Whoever gives them.
pub(crate) struct Orders(Sender<Order>);

impl Marshal {
    /// A game with nothing in its world, and whatever else is in the schema.
    pub(crate) fn new(schema: SchemaBuilder) -> (Self, Orders) {
        let kind =
            Kind::new(KindId(0), "nothing", [Field::new(FieldId(0), "field", FieldType::integer(0..=1))]);
        let schema = schema.kind(kind).build().unwrap();
        let (sender, orders) = channel();
        (Self { schema, orders }, Orders(sender))
    }
}

impl Orders {
    pub(crate) fn give(&self, order: impl FnOnce(&mut StepContext<'_>) + Send + 'static) {
        self.0.send(Box::new(order)).unwrap();
    }
}

impl Simulation for Marshal {
    fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    fn step(&mut self, ctx: &mut StepContext<'_>) {
        self.orders.try_iter().for_each(|order| order(ctx));
    }

    fn save(&self, _: &mut Tables) {}

    fn load(&mut self, _: &Tables) {}
}
