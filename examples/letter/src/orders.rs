//! The orders of a customer, read from XML.
//!
//! Comes in: the text of `data.xml`. Goes out: to [`page`](crate::page), and to
//! the result.
//!
//! Promise: a mistake in the data is reported with its line, and never read as
//! something else. Elements that the letter has no use for are skipped.
//!
//! Not here: where the text comes from.

use std::fmt;

use quick_xml::Reader;
use quick_xml::XmlVersion;
use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::BytesRef;
use quick_xml::events::BytesStart;
use quick_xml::events::Event;

/// What `data.xml` says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Orders {
    pub(crate) recipient: String,
    pub(crate) list: Vec<Order>,
}

/// One order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) number: String,
    pub(crate) customer: String,
    pub(crate) city: String,
    pub(crate) article: String,
    pub(crate) cents: u64,
}

impl Orders {
    /// What all orders cost together. It fits: an amount has at most nine digits
    /// before the point, and no file has a hundred million orders.
    pub(crate) fn total_cents(&self) -> u64 {
        self.list.iter().map(|order| order.cents).sum()
    }
}

/// What is wrong with the data, and where.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    line: usize,
    what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

/// Reads `<orders recipient="…"><order number="…">…</order>…</orders>`.
pub(crate) fn read(xml: &str) -> Result<Orders, Fault> {
    let mut parser = Parser { xml, reader: Reader::from_str(xml) };
    let root = parser.start_of("orders", "the file")?.ok_or_else(|| parser.fault("there is no <orders>"))?;
    let mut orders = Orders { recipient: parser.attribute(&root, "recipient")?, list: Vec::new() };
    while let Some(start) = parser.start_of("order", "<orders>")? {
        orders.list.push(parser.order(&start)?);
    }
    match parser.start_of("orders", "the file")? {
        Some(_) => Err(parser.fault("there is a second <orders>")),
        None => Ok(orders),
    }
}

struct Parser<'a> {
    xml: &'a str,
    reader: Reader<&'a [u8]>,
}

impl<'a> Parser<'a> {
    /// The next element `name` among the children of `parent`, or `None` at the
    /// parent's end. Other elements are skipped, with all that is in them.
    fn start_of(&mut self, name: &str, parent: &str) -> Result<Option<BytesStart<'a>>, Fault> {
        loop {
            match self.event()? {
                Event::Start(start) if start.name().0 == name => return Ok(Some(start)),
                Event::Start(other) => self.skip(&other)?,
                Event::Empty(empty) if empty.name().0 == name => {
                    return Err(self.fault(format!("this <{name}/> is empty")));
                }
                Event::End(_) => return Ok(None),
                // Outside the root there is no end tag, only the end of the file.
                Event::Eof if parent == "the file" => return Ok(None),
                Event::Eof => return Err(self.fault(format!("the file ends inside {parent}"))),
                Event::Text(text) if !text.trim().is_empty() => {
                    return Err(self.fault(format!("there is text between the elements of {parent}")));
                }
                _ => {}
            }
        }
    }

    /// One order, after its start tag.
    fn order(&mut self, start: &BytesStart<'a>) -> Result<Order, Fault> {
        let line = self.line();
        let number = self.attribute(start, "number")?;
        let (mut customer, mut city, mut article, mut cents) = (None, None, None, None);
        loop {
            match self.event()? {
                Event::Start(field) => match field.name().0 {
                    "customer" => customer = Some(self.text("customer")?),
                    "city" => city = Some(self.text("city")?),
                    "article" => article = Some(self.text("article")?),
                    "amount" => cents = Some(self.amount()?),
                    _ => self.skip(&field)?,
                },
                Event::End(_) => break,
                Event::Eof => {
                    return Err(self.fault(format!("the file ends inside order {number}")));
                }
                _ => {}
            }
        }
        let missing = |name: &str| Fault { line, what: format!("order {number} has no <{name}>") };
        Ok(Order {
            customer: customer.ok_or_else(|| missing("customer"))?,
            city: city.ok_or_else(|| missing("city"))?,
            article: article.ok_or_else(|| missing("article"))?,
            cents: cents.ok_or_else(|| missing("amount"))?,
            number,
        })
    }

    fn amount(&mut self) -> Result<u64, Fault> {
        let text = self.text("amount")?;
        let wrong = || self.fault(format!("`{text}` is not an amount; write it like 1234.50"));
        cents(&text).ok_or_else(wrong)
    }

    /// The text up to the end tag of `name`, with everything resolved.
    fn text(&mut self, name: &str) -> Result<String, Fault> {
        let mut whole = String::new();
        loop {
            match self.event()? {
                Event::Text(text) => whole.push_str(&text.xml10_content()),
                Event::CData(text) => whole.push_str(&text.xml10_content()),
                Event::GeneralRef(entity) => whole.push_str(&self.resolved(&entity)?),
                Event::Start(_) | Event::Empty(_) => {
                    return Err(self.fault(format!("<{name}> may only hold text")));
                }
                Event::End(_) => return Ok(whole.trim().to_owned()),
                Event::Eof => return Err(self.fault(format!("the file ends inside <{name}>"))),
                Event::Comment(_) | Event::PI(_) | Event::Decl(_) | Event::DocType(_) => {}
            }
        }
    }

    fn resolved(&self, entity: &BytesRef<'_>) -> Result<String, Fault> {
        let unknown = || self.fault(format!("`&{};` is unknown", &**entity));
        match entity.resolve_char_ref() {
            Ok(Some(character)) => Ok(character.to_string()),
            Ok(None) => resolve_xml_entity(entity).map(str::to_owned).ok_or_else(unknown),
            Err(_) => Err(unknown()),
        }
    }

    fn attribute(&self, start: &BytesStart<'_>, name: &str) -> Result<String, Fault> {
        let tag = start.name().0;
        let found = start.try_get_attribute(name).map_err(|error| self.fault(error))?;
        let found = found.ok_or_else(|| self.fault(format!("this <{tag}> has no attribute `{name}`")))?;
        let value = found.normalized_value(XmlVersion::Implicit1_0).map_err(|error| self.fault(error))?;
        Ok(value.into_owned())
    }

    fn skip(&mut self, start: &BytesStart<'a>) -> Result<(), Fault> {
        self.reader.read_to_end(start.name()).map(drop).map_err(|error| self.syntax(error))
    }

    fn event(&mut self) -> Result<Event<'a>, Fault> {
        self.reader.read_event().map_err(|error| self.syntax(error))
    }

    fn syntax(&self, error: quick_xml::Error) -> Fault {
        Fault { line: self.line_at(self.reader.error_position()), what: error.to_string() }
    }

    fn fault(&self, what: impl fmt::Display) -> Fault {
        Fault { line: self.line(), what: what.to_string() }
    }

    /// The line that has just been read.
    fn line(&self) -> usize {
        self.line_at(self.reader.buffer_position())
    }

    /// Positions are bytes of the text, so one that does not fit is its end.
    fn line_at(&self, position: u64) -> usize {
        let read = usize::try_from(position).unwrap_or(usize::MAX).min(self.xml.len());
        1 + self.xml.as_bytes()[..read].iter().filter(|byte| **byte == b'\n').count()
    }
}

/// `1234.5` as 123450; `None` if it is anything but digits and a point.
fn cents(text: &str) -> Option<u64> {
    let digits = |text: &str, most: usize| {
        let fits = (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        fits.then(|| text.parse::<u64>().ok()).flatten()
    };
    let (whole, part) = text.split_once('.').unwrap_or((text, "00"));
    let part = match part.len() {
        1 => digits(part, 1)? * 10,
        _ => digits(part, 2)?,
    };
    Some(digits(whole, 9)? * 100 + part)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REAL: &str = include_str!("../data.xml");

    /// An `<orders>` with this in it, each part on a line of its own.
    fn orders(inner: &str) -> String {
        format!("<?xml version=\"1.0\"?>\n<orders recipient=\"Us\">\n{inner}\n</orders>\n")
    }

    #[track_caller]
    fn check_fault(xml: &str, expected: &str) {
        assert_eq!(read(xml).unwrap_err().to_string(), expected);
    }

    #[test]
    fn the_real_file_is_read_to_its_end() {
        let orders = read(REAL).unwrap();
        assert_eq!(orders.recipient, "Coöperatie Noordermarkt U.A.");
        assert_eq!(orders.list.len(), REAL.matches("<order ").count());
        assert_eq!(orders.list[0].customer, "Bäckerei Müller & Söhne");
        let per_order: u64 = orders.list.iter().map(|order| order.cents).sum();
        assert_eq!(orders.total_cents(), per_order);
        assert!(orders.list.iter().all(|order| order.cents > 0));
    }

    #[test]
    fn text_is_what_the_writer_meant() {
        let xml = orders(
            "<order number=\"A&amp;1\"><customer>Caf&#xE9; <![CDATA[<Ö>]]> &quot;T&amp;T&quot;</customer>\
             <city><!-- at the sea --> Den Haag </city><note><b>skip</b></note>\
             <article>&lt;rye&gt;</article><amount>7.5</amount></order>",
        );
        let expected = Order {
            number: "A&1".to_owned(),
            customer: "Café <Ö> \"T&T\"".to_owned(),
            city: "Den Haag".to_owned(),
            article: "<rye>".to_owned(),
            cents: 750,
        };
        assert_eq!(read(&xml).unwrap().list, [expected]);
    }

    #[test]
    fn broken_xml_is_reported_with_its_line() {
        let fault = read(&orders("<order number=\"1\">\n</oder>")).unwrap_err();
        assert_eq!(fault.line, 4);
        assert!(fault.what.contains("oder"), "{fault}");
        check_fault("<orders recipient=\"Us\">\n<order number=\"1\">\n", "line 3: the file ends inside order 1");
        check_fault("\n\n", "line 3: there is no <orders>");
    }

    #[test]
    fn data_that_is_not_there_is_missed() {
        check_fault(&orders("\n<order number=\"9\">\n<city>X</city></order>"), "line 4: order 9 has no <customer>");
        check_fault(&orders("<order>\n</order>"), "line 3: this <order> has no attribute `number`");
        check_fault(&orders("<order number=\"9\"/>"), "line 3: this <order/> is empty");
        check_fault(&orders("order"), "line 4: there is text between the elements of <orders>");
    }

    #[test]
    fn what_is_not_an_amount_is_shown() {
        for amount in ["", "free", "1,50", "-1", "1.234", "1.", ".5", "1234567890"] {
            let xml = orders(&format!("<order number=\"1\">\n<amount>{amount}</amount></order>"));
            check_fault(&xml, &format!("line 4: `{amount}` is not an amount; write it like 1234.50"));
        }
        assert_eq!([cents("7"), cents("7.5"), cents("7.05")], [Some(700), Some(750), Some(705)]);
    }

    #[test]
    fn an_entity_that_the_file_does_not_explain_is_refused() {
        let xml = orders("<order number=\"1\"><city>&nbsp;</city></order>");
        check_fault(&xml, "line 3: `&nbsp;` is unknown");
    }
}
