"""Italian opinions."""

from __future__ import annotations

from harness_tasks.sentiment.grammar import Language, Opinions, feminine_by, lines, words

ITALIAN = Language(
    masculine=words("""
        il libro, il film, il servizio, il pranzo, il telefono, il prodotto, il ristorante, il vino, il
        personale, il romanzo, lo schermo, lo stile
        """),
    feminine=words("""
        la camera, la consegna, la batteria, la musica, la cucina, la lettura, la traduzione, la
        colazione, la terrazza
        """),
    feminine_of=feminine_by(("tore", "trice"), ("o", "a")),
    positive=Opinions(
        plain=words("""
            buono, bello, piacevole, interessante, avvincente, divertente, carino, commovente,
            intelligente, originale, convincente, toccante, elegante, curato, vivace, fresco, gradevole,
            appassionante, riuscito, accogliente, simpatico, raffinato, pratico, gustoso, affidabile,
            coinvolgente, delicato, spiritoso
            """),
        strong=words("""
            meraviglioso, magnifico, stupendo, eccellente, formidabile, fantastico, delizioso, geniale,
            perfetto, eccezionale, sublime, splendido, indimenticabile, favoloso, ottimo, straordinario,
            squisito, incantevole, impeccabile, irresistibile
            """),
        acts=lines("""
            ho adorato {}
            ho apprezzato {}
            {} mi ha convinto
            consiglio {} a tutti
            ammiro {}
            {} ha superato le mie attese
            mi sono goduto {}
            {} mi ha fatto sorridere
            lodo volentieri {}
            {} merita un premio
            {} vale ogni centesimo
            amo {}
            {} mi ha emozionato
            """),
        verdicts=words("""
            un gioiello, un capolavoro, una meraviglia, una bella sorpresa, un vero piacere, un
            successo, una delizia, una rivelazione, un affare, una gioia, un colpo di fulmine, un
            incanto, una perla rara, una boccata d'aria fresca
            """),
    ),
    negative=Opinions(
        plain=words("""
            brutto, noioso, banale, piatto, prevedibile, goffo, lungo, superficiale, debole, irritante,
            sciatto, faticoso, confuso, lento, scialbo, deludente, sporco, sgradevole, rumoroso, freddo,
            antipatico, volgare, pretenzioso, pesante, mediocre, scadente, scomodo, insipido
            """),
        strong=words("""
            orribile, orrendo, spaventoso, pessimo, catastrofico, insopportabile, detestabile, penoso,
            atroce, disastroso, scandaloso, ridicolo, disgustoso, inutilizzabile, vergognoso, pietoso,
            inguardabile, terribile, abominevole, schifoso
            """),
        acts=lines("""
            ho odiato {}
            rimpiango di aver scelto {}
            {} mi ha deluso
            sconsiglio {} a tutti
            detesto {}
            {} ha tradito le mie attese
            ho sopportato {} a fatica
            {} mi ha fatto sbadigliare
            critico aspramente {}
            {} non merita alcuna lode
            {} non vale un centesimo
            disprezzo {}
            {} mi ha lasciato indifferente
            """),
        verdicts=words("""
            una delusione, un fallimento, una perdita di tempo, una catastrofe, un disastro, un fiasco,
            una truffa, un supplizio, una vergogna, uno spreco, soldi buttati, una noia mortale, un
            flop, una tortura
            """),
    ),
    degrees=words("molto, davvero, abbastanza, piuttosto, proprio, così"),
    intense=words("assolutamente, semplicemente, veramente, a dir poco"),
    states=words("{} era {}, {} è {}, ho trovato {} {}, {} mi pareva {}"),
    denials=words("""
        {} non era {}, {} non è {}, {} non era affatto {}, {} era tutt'altro che {}, {} non è certo {}
        """),
    closings=words("insomma: {}, in breve: {}, per me è {}, che dire: {}, per me era {}"),
    contrast="{} , ma {}",
    asides=lines("""
        ci siamo andati di martedì
        l'aveva scelto mia sorella
        ne avevo letto sul giornale
        quel giorno pioveva
        me l'ha dato un amico
        siamo rimasti due notti
        è arrivato in una scatola
        non lo conoscevo
        ne aveva parlato un mio collega
        eravamo lì in estate
        è il secondo volume di una serie
        poi ho preso il treno
        """),
)
