//! `pool`: where volumes are.

use clap::{Args, Subcommand};
use xlfs_proto::v1::{ListPoolsRequest, Pool as Stored};

use super::image::size;
use super::{Session, answer};
use crate::errors::{Context as _, Failure};
use crate::exit::Exit;
use crate::output::Output;
use crate::output::table::{Align, Cell, Colour, Table};
use crate::output::text::plain;
use crate::output::view::volume::{PoolView, PoolsView, copy_word};

/// The pools that volumes are in.
#[derive(Debug, Subcommand)]
pub(crate) enum Pool {
    List(List),
}

/// List the pools of xlfsd's configuration.
///
/// The first is where a volume goes that names no pool. COPIES says how a volume
/// is copied within the pool: "reflink" and "thin" share blocks, at once and
/// without taking space; "full" reads and writes all data.
#[derive(Debug, Args)]
pub(crate) struct List {}

impl Pool {
    pub(crate) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let Pool::List(List {}) = self;
        let output = &session.output;
        let mut volumes = session.daemon().await?.volumes();
        let call = volumes.list_pools(ListPoolsRequest {});
        let pools = answer(call).await.context(|| "cannot list the pools".to_owned())?.pools;
        if !output.is_table() {
            output.document(&PoolsView { pools: pools.iter().map(PoolView::from).collect() })?;
        } else if output.quiet {
            output.text(&pools.iter().map(|pool| plain(&pool.name) + "\n").collect::<String>())?;
        } else {
            output.text(&table(&pools, output))?;
            for pool in pools.iter().filter(|pool| !pool.problem.is_empty()) {
                output.note(&format!("{}: {}", plain(&pool.name), plain(&pool.problem)));
            }
        }
        Ok(Exit::Ok)
    }
}

fn table(pools: &[Stored], output: &Output) -> String {
    let mut table = Table::new(&[
        ("NAME", Align::Elastic),
        ("KIND", Align::Left),
        ("FREE", Align::Right),
        ("TOTAL", Align::Right),
        ("THIN", Align::Left),
        ("COPIES", Align::Left),
        ("VOLS", Align::Right),
        ("PATH", Align::Elastic),
    ]);
    for pool in pools {
        let space = |bytes: Option<u64>| bytes.map_or_else(|| "-".to_owned(), size);
        let broken = pool.total_bytes.is_none() && !pool.problem.is_empty();
        let known = |word: &str| if broken { "-".to_owned() } else { word.to_owned() };
        table.row([
            Cell::coloured(&pool.name, broken.then_some(Colour::Red)),
            pool.kind.as_str().into(),
            space(pool.free_bytes).into(),
            space(pool.total_bytes).into(),
            known(if pool.thin { "yes" } else { "no" }).into(),
            known(copy_word(pool.copies())).into(),
            pool.volumes.to_string().into(),
            pool.path.as_str().into(),
        ]);
    }
    table.render(output.width, output.colour)
}
