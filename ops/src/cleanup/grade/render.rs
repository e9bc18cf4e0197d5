//! The grade as a report for people.

use super::{FaultGrade, Grade, Rate};
use crate::report::{Align, Document, Table};

impl Grade {
    /// The grade as a report.
    pub fn document(&self) -> Document {
        let mut document = Document::new();
        document.heading(2, "Grade");
        document.text(format!(
            "Known faults were planted into copies of {} good rows of {}, a few at a time. Intervals hold the true share in 95 of \
             100 cases. A finding in a good row that nothing was planted into counts as false, whether or not the row is \
             damaged: those shares are upper bounds.",
            self.good, self.rows
        ));
        document.table(self.recall());
        document.text(
            "What nothing in a table shows is not found, and no threshold changes that: a text cut behind a sentence reads like a \
             whole one, and so does a title cut behind a word that could be its last, unless the text of its row repeats it or \
             goes on with it. A near copy of fewer than ten words with another word is another text."
                .to_owned(),
        );
        document.table(self.by_text());
        document.text(format!("Planted cuts that raised the score of their row: {}.", self.raised));
        document.heading(2, "Threshold");
        let mut table = Table::new([
            ("threshold", Align::Right),
            ("fragments", Align::Right),
            ("decided otherwise", Align::Right),
        ]);
        for one in &self.sensitivity {
            table.row([format!("{:.2}", one.threshold), one.fragments.to_string(), one.flips.to_string()]);
        }
        document.table(table);
        document
    }

    fn recall(&self) -> Table {
        let mut table = Table::new([
            ("fault", Align::Code),
            ("planted", Align::Right),
            ("found", Align::Right),
            ("recall", Align::Right),
            ("interval", Align::Right),
            ("false positives", Align::Right),
            ("interval", Align::Right),
        ]);
        for grade in self.faults.iter().chain(&self.title_cuts) {
            let FaultGrade { recall, false_positives, .. } = grade;
            table.row([
                grade.fault.to_owned(),
                recall.all.to_string(),
                recall.found.to_string(),
                share(*recall),
                interval(*recall),
                format!("{} of {}", false_positives.found, false_positives.all),
                interval(*false_positives),
            ]);
        }
        table
    }

    fn by_text(&self) -> Table {
        let mut table = Table::new([
            ("fault", Align::Code),
            ("found where the text repeats the title", Align::Right),
            ("found where it does not", Align::Right),
        ]);
        for grade in
            self.faults.iter().filter(|grade| grade.fault.starts_with("title_")).chain(&self.title_cuts)
        {
            let cell = |rate: Rate| format!("{} of {} ({})", rate.found, rate.all, share(rate));
            table.row([grade.fault.to_owned(), cell(grade.repeated), cell(grade.not_repeated)]);
        }
        table
    }
}

fn share(rate: Rate) -> String {
    rate.share().map_or_else(|| "none".to_owned(), |share| format!("{:.1} %", share * 100.0))
}

fn interval(rate: Rate) -> String {
    rate.interval()
        .map_or_else(String::new, |(low, high)| format!("{:.1} to {:.1} %", low * 100.0, high * 100.0))
}
