"""What each record holds on the wire, from the spec (features.md R1-R10, analytics.md 1).

One line a member: its name on the wire, its canonical name, its kind. A `!` means: never absent,
null or empty; a `*` means: the key must be there, though a source without the fact may say null.
Nothing here may import the project.
"""

Wire = dict[str, tuple[str, str]]  # wire name -> (canonical name, kind)


def _members(lines: str) -> Wire:
    parts = [line.split() for line in lines.strip().splitlines()]
    return {wire: (name, kind) for wire, name, kind in parts}


WIRE = {
    "trades": _members("""
        tradeId           trade_id       text*
        instrumentId      instrument_id  text!
        price             price          price!
        quantity          quantity       size!
        timestamp         event_ts_ns    time!
        buySellIndicator  side           text*
        venue             venue          text
        trader            trader_id      text
        sequence          sequence       integer
        conditions        conditions     text
        suspicious        is_suspicious  boolean
        status            status         text
        refTradeId        ref_trade_id   text
        version           version        integer
        sessionId         session_id     text
    """),
    "quotes": _members("""
        instrumentId      instrument_id  text!
        dealerId          dealer_id      text!
        venue             venue          text
        bidPrice          bid_price      price
        offerPrice        offer_price    price
        bidSize           bid_size       size
        offerSize         offer_size     size
        timestamp         event_ts_ns    time!
        sequence          sequence       integer
        quoteType         quote_type     text
        side              side           text
        action            action         text
        price             price          price
        size              size           size
        level             level          integer
        sessionId         session_id     text
    """),
    "securities": _members("""
        instrumentId      instrument_id     text!
        securityName      security_name     text!
        cusip             cusip             text*
        isin              isin              text*
        marketSegment     market_segment    text*
        issuer            issuer            text*
        asOf              event_ts_ns       time
        currency          currency          text
        tickSize          tick_size         price
        priceMultiplier   price_multiplier  price
        ticker            ticker            text
        figi              figi              text
        venue             venue             text
        calendar          calendar          text
        status            status            text
        allowNegativePrice  allow_negative_price  boolean
    """),
    "orders": _members("""
        msgId             msg_id         text*
        instrumentId      instrument_id  text!
        venue             venue          text
        orderId           order_id       text
        timestamp         event_ts_ns    time!
        price             price          price
        volume            quantity       size!
        side              side           text*
        msgType           msg_type       text!
        sequence          sequence       integer*
    """),
    "market_data": _members("""
        symbol            instrument_id  text!
        exchange          venue          text!
        price             last_price     price!
        bid_price         bid_price      price
        ask_price         offer_price    price
        bid_size          bid_size       size
        ask_size          offer_size     size
        volume            volume         size
        timestamp         event_ts_ns    time!
        sequence          sequence       integer
    """),
    "positions": _members("""
        trader_id         trader_id      text!
        symbol            instrument_id  text!
        position_size     position_size  size!
        avg_price         avg_price      price
        current_pnl       current_pnl    money
        timestamp         event_ts_ns    time!
    """),
    "book_updates": _members("""
        symbol            instrument_id  text!
        exchange          venue          text!
        side              side           text!
        order_type        order_type     text!
        price             price          price
        quantity          quantity       size!
        timestamp         event_ts_ns    time!
        order_id          order_id       text
        sequence          sequence       integer
    """),
    "posts": _members("""
        platform          platform       text!
        post_id           post_id        text!
        created           event_ts_ns    time!
        author            author         text
        text              text           text!
        score             score          integer
        tickers           tickers        texts
    """),
    "bars": _members("""
        symbol            instrument_id  text!
        exchange          venue          text
        interval          interval       text!
        window_start      event_ts_ns    time!
        open              open           price!
        high              high           price!
        low               low            price!
        close             close          price!
        volume            volume         size!
        vwap              vwap           price
        trade_count       trade_count    integer
    """),
    "alerts": _members("""
        alert_id          alert_id          text
        rule              rule              text
        detection_time    event_ts_ns       time!
        symbol            instrument_id     text
        exchange          venue             text
        trader_id         trader_id         text
        severity          severity          text
        value             value             ratio
        threshold         threshold         ratio
        reference         reference         ratio
        price             price             price
        prev_price        prev_price        price
        price_change_pct  price_change_pct  ratio
        volume            volume            size
        avg_volume        avg_volume        ratio
        z_score           z_score           ratio
        buy_volume        buy_volume        size
        sell_volume       sell_volume       size
        imbalance         imbalance         ratio
        buy_exchange      buy_venue         text
        sell_exchange     sell_venue        text
        buy_price         buy_price         price
        sell_price        sell_price        price
        edge_bps          edge_bps          ratio
        profit            profit            money
        duration_ms       duration_ms       integer
    """),
}
TIME = {
    dataset: next(key for key, (name, _) in wire.items() if name == "event_ts_ns")
    for dataset, wire in WIRE.items()
}
