"""German opinions."""

from __future__ import annotations

from harness_tasks.sentiment.grammar import Language, Opinions, lines, words


def accusative(noun: str) -> str:
    """Return a noun phrase as an object: only the masculine article changes."""
    return f"den {noun.removeprefix('der ')}" if noun.startswith("der ") else noun


GERMAN = Language(
    masculine=words("""
        das Buch, das Hotel, das Zimmer, die Bedienung, das Essen, das Telefon, die Kamera, die
        Lieferung, das Produkt, das Restaurant, der Wein, die Geschichte, der Service, der Akku, der
        Bildschirm, das Frühstück, der Film, die Stimmung
        """),
    feminine=(),
    object_of=accusative,
    positive=Opinions(
        plain=words("""
            gut, schön, nett, angenehm, spannend, klug, lustig, unterhaltsam, gemütlich, beeindruckend,
            rührend, witzig, frisch, elegant, überzeugend, einfallsreich, lebendig, originell, fesselnd,
            gepflegt, freundlich, zuverlässig, charmant, solide, reizvoll, praktisch, lesenswert,
            gelungen
            """),
        strong=words("""
            wunderbar, großartig, fantastisch, hervorragend, ausgezeichnet, herrlich, brillant,
            grandios, perfekt, köstlich, unvergesslich, phänomenal, exzellent, atemberaubend,
            meisterhaft, bezaubernd, fabelhaft, traumhaft, makellos, unwiderstehlich
            """),
        acts=lines("""
            ich liebe {}
            ich habe {} genossen
            {} hat mich überzeugt
            ich kann {} jedem empfehlen
            ich bewundere {}
            {} übertraf meine Erwartungen
            ich freue mich über {}
            {} brachte mich zum Lachen
            ich lobe {} in den höchsten Tönen
            {} verdient einen Preis
            ich mag {}
            {} ist jeden Cent wert
            ich schätze {} sehr
            {} hat mich bewegt
            """),
        verdicts=words("""
            eine Empfehlung, ein Meisterwerk, ein Juwel, ein Fest, ein Volltreffer, eine angenehme
            Überraschung, ein Genuss, ein Erfolg, ein Schnäppchen, eine Offenbarung, eine Freude, ein
            Glücksgriff, ein Vergnügen, eine Wohltat
            """),
    ),
    negative=Opinions(
        plain=words("""
            schlecht, langweilig, öde, albern, vorhersehbar, ungeschickt, langatmig, oberflächlich,
            schwach, lästig, schlampig, ermüdend, verwirrend, langsam, muffig, leblos, enttäuschend,
            billig, schmutzig, unangenehm, lieblos, laut, unhöflich, zäh, kitschig, wirr, unglaubwürdig,
            nervig
            """),
        strong=words("""
            schrecklich, furchtbar, grauenhaft, wertlos, katastrophal, unerträglich, lächerlich,
            ekelhaft, hoffnungslos, entsetzlich, miserabel, skandalös, grottenschlecht, erbärmlich,
            abscheulich, unterirdisch, widerlich, unbrauchbar, scheußlich, jämmerlich
            """),
        acts=lines("""
            ich hasse {}
            ich bereue {}
            {} hat mich enttäuscht
            ich kann {} niemandem empfehlen
            ich verabscheue {}
            {} blieb unter meinen Erwartungen
            ich ärgere mich über {}
            {} brachte mich zum Gähnen
            ich verfluche {} jeden Tag
            {} verdient kein Lob
            ich kann {} nicht ausstehen
            {} ist keinen Cent wert
            ich bemängele {} seit Wochen
            {} hat mich genervt
            """),
        verdicts=words("""
            eine Enttäuschung, ein Reinfall, ein Fehlschlag, eine Katastrophe, ein Flop, eine Zumutung,
            eine Qual, ein Fiasko, ein Fehlkauf, ein Ärgernis, eine Frechheit, eine Zeitverschwendung,
            ein Armutszeugnis, rausgeworfenes Geld
            """),
    ),
    degrees=words("sehr, wirklich, ziemlich, recht, ganz schön, so"),
    intense=words("absolut, einfach, geradezu, schlichtweg"),
    states=words("{} war {}, {} ist {}, {} wirkte {}, {} schien mir {}"),
    denials=words(
        "{} war nicht {}, {} ist nicht {}, {} war nie {}, {} war alles andere als {}, {} ist kaum {}"
    ),
    closings=words("kurz gesagt: {}, das ist {}, es wurde {}, für mich war es {}, alles in allem {}"),
    contrast="{} , aber {}",
    asides=lines("""
        wir gingen an einem Dienstag hin
        meine Schwester hatte es ausgesucht
        ich las davon in der Zeitung
        es regnete an diesem Tag
        ein Freund gab es mir
        wir blieben zwei Nächte
        es kam in einer Schachtel
        ich hatte noch nie davon gehört
        mein Kollege hatte es erwähnt
        wir waren im Sommer dort
        es ist der zweite Teil einer Reihe
        danach nahm ich den Zug nach Hause
        """),
)
