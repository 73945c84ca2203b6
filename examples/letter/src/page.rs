//! The letter: orders and sender, in the words of a template.
//!
//! Comes in: what [`orders`](crate::orders) read, and perhaps a template.
//! Goes out: one HTML page.
//!
//! Promise: no value can break out of the page, since each is escaped; and a
//! name that a template misspells is an error, not a gap in the letter.

use minijinja::Environment;
use minijinja::UndefinedBehavior;
use minijinja::Value;
use minijinja::context;

use crate::orders::Order;
use crate::orders::Orders;

const OURS: &str = include_str!("../letter.template.html");

/// Who writes the letter.
pub(crate) struct Sender {
    pub(crate) name: String,
    pub(crate) city: String,
    pub(crate) greeting: String,
}

/// Fills in `template`, or ours if there is none.
pub(crate) fn render(template: Option<&str>, orders: &Orders, sender: &Sender) -> Result<String, String> {
    // The ending tells the engine to escape for HTML.
    let (name, source) = match template {
        Some(source) => ("template.html", source),
        None => ("letter.template.html", OURS),
    };
    let mut engine = Environment::new();
    engine.set_undefined_behavior(UndefinedBehavior::Strict);
    let letter = context! {
        sender => sender.name.as_str(),
        city => sender.city.as_str(),
        greeting => sender.greeting.as_str(),
        recipient => orders.recipient.as_str(),
        records => orders.list.len(),
        total => money(orders.total_cents()),
        orders => orders.list.iter().map(row).collect::<Vec<_>>(),
    };
    engine.render_named_str(name, source, letter).map_err(|error| match error.line() {
        Some(line) => format!("{name}, line {line}: {}", reason(&error)),
        None => format!("{name}: {}", reason(&error)),
    })
}

/// The kind of a mistake, and what exactly it is.
fn reason(error: &minijinja::Error) -> String {
    match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    }
}

fn row(order: &Order) -> Value {
    context! {
        number => order.number.as_str(),
        customer => order.customer.as_str(),
        city => order.city.as_str(),
        article => order.article.as_str(),
        amount => money(order.cents),
    }
}

/// Cents as people write them.
pub(crate) fn money(cents: u64) -> String {
    format!("€ {}.{:02}", cents / 100, cents % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one_order(customer: &str) -> Orders {
        let order = Order {
            number: "2026-0417".to_owned(),
            customer: customer.to_owned(),
            city: "Köln".to_owned(),
            article: "Rye".to_owned(),
            cents: 4_805,
        };
        Orders { recipient: "Coöperatie".to_owned(), list: vec![order] }
    }

    fn sender() -> Sender {
        Sender { name: "De Hoop".to_owned(), city: "Utrecht".to_owned(), greeting: "Dear all".to_owned() }
    }

    #[track_caller]
    fn check(template: &str, expected: Result<&str, &str>) {
        let page = render(Some(template), &one_order("M & S"), &sender());
        assert_eq!(page, expected.map(str::to_owned).map_err(str::to_owned));
    }

    #[test]
    fn our_template_names_everything_and_everybody() {
        let page = render(None, &one_order("Müller"), &sender()).unwrap();
        for word in ["De Hoop", "Utrecht", "Dear all", "Coöperatie", "2026-0417", "Müller", "Köln", "Rye", "€ 48.05"]
        {
            assert!(page.contains(word), "`{word}` is missing in {page}");
        }
    }

    #[test]
    fn what_people_are_called_cannot_become_markup() {
        let page = render(None, &one_order("<script>alert('M&S')</script>"), &sender()).unwrap();
        assert!(!page.contains("<script"), "{page}");
        assert!(page.contains("&lt;script&gt;alert(&#x27;M&amp;S&#x27;)"), "{page}");
    }

    #[test]
    fn a_session_may_bring_its_own_template() {
        check("{% for order in orders %}<b>{{ order.customer }}</b>{% endfor %}", Ok("<b>M &amp; S</b>"));
        check("{{ records }} for {{ total }}", Ok("1 for € 48.05"));
    }

    #[test]
    fn a_mistake_in_a_template_is_reported_with_its_line() {
        check("a\n{{ sendr }}", Err("template.html, line 2: undefined value"));
        check("a\nb\n{% wrong %}", Err("template.html, line 3: syntax error: unknown statement wrong"));
    }
}
