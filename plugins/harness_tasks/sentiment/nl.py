"""Dutch opinions."""

from __future__ import annotations

from harness_tasks.sentiment.grammar import Language, Opinions, lines, words

DUTCH = Language(
    masculine=words("""
        het boek, het hotel, de kamer, de bediening, het eten, de telefoon, de camera, de levering, het
        product, het restaurant, de wijn, het verhaal, het personeel, de batterij, het scherm, het
        ontbijt, de film, de sfeer
        """),
    feminine=(),
    positive=Opinions(
        plain=words("""
            goed, leuk, mooi, aangenaam, boeiend, slim, grappig, vermakelijk, gezellig, indrukwekkend,
            ontroerend, geestig, fris, elegant, overtuigend, vindingrijk, levendig, origineel, spannend,
            verzorgd, vriendelijk, betrouwbaar, meeslepend, charmant, degelijk, aantrekkelijk, handig,
            verrassend
            """),
        strong=words("""
            geweldig, prachtig, fantastisch, schitterend, uitstekend, heerlijk, subliem, briljant,
            magnifiek, perfect, verrukkelijk, onvergetelijk, fenomenaal, grandioos, voortreffelijk,
            adembenemend, ongelooflijk goed, meesterlijk, betoverend, onweerstaanbaar
            """),
        acts=lines("""
            ik heb genoten van {}
            ik ben verliefd op {}
            {} heeft mij overtuigd
            ik kan {} iedereen aanraden
            ik bewonder {}
            {} overtrof mijn verwachtingen
            ik ben blij met {}
            {} maakte mij aan het lachen
            ik ben vol lof over {}
            {} verdient een prijs
            ik ben dol op {}
            {} is elke cent waard
            ik ben tevreden over {}
            {} heeft mij ontroerd
            """),
        verdicts=words("""
            een aanrader, een meesterwerk, een pareltje, een feest, een voltreffer, een aangename
            verrassing, een genot, een succes, een koopje, een openbaring, een schot in de roos, een
            verademing, een plezier, een juweel
            """),
    ),
    negative=Opinions(
        plain=words("""
            slecht, saai, flauw, dom, voorspelbaar, onhandig, langdradig, oppervlakkig, zwak, vervelend,
            slordig, vermoeiend, verwarrend, traag, muf, levenloos, teleurstellend, goedkoop, vies,
            onaangenaam, rommelig, lawaaierig, onbeleefd, onduidelijk, kil, lui, ongeloofwaardig,
            irritant
            """),
        strong=words("""
            verschrikkelijk, vreselijk, afschuwelijk, waardeloos, rampzalig, ondraaglijk, belachelijk,
            walgelijk, hopeloos, gruwelijk, beroerd, schandalig, onuitstaanbaar, abominabel, bedroevend,
            dramatisch, stuitend, onbruikbaar, tenenkrommend, erbarmelijk
            """),
        acts=lines("""
            ik heb me geërgerd aan {}
            ik heb spijt van {}
            {} heeft mij teleurgesteld
            ik waarschuw iedereen voor {}
            ik verafschuw {}
            {} bleef onder mijn verwachtingen
            ik ben boos over {}
            {} maakte mij aan het geeuwen
            ik klaag nog steeds over {}
            {} verdient geen lof
            ik heb een hekel aan {}
            {} is geen cent waard
            ik ben ontevreden over {}
            {} liet mij koud
            """),
        verdicts=words("""
            een afrader, een miskleun, een mislukking, een ramp, een flop, een tegenvaller, een
            kwelling, een fiasco, een miskoop, een ergernis, een klucht, een verspilling van tijd, een
            aanfluiting, weggegooid geld
            """),
    ),
    degrees=words("heel, erg, echt, behoorlijk, nogal, zeer"),
    intense=words("werkelijk, gewoonweg, ronduit, absoluut"),
    states=words("{} was {}, {} is {}, ik vond {} {}, {} leek {}"),
    denials=words(
        "{} was niet {}, {} is niet {}, ik vond {} niet {}, {} was allesbehalve {}, {} was nooit {}"
    ),
    closings=words("kortom: {}, dit is {}, het werd {}, voor mij was het {}, al met al {}"),
    contrast="{} , maar {}",
    asides=lines("""
        we gingen op een dinsdag
        mijn zus had het uitgekozen
        ik las erover in de krant
        het regende die dag
        een vriend gaf het aan mij
        we bleven twee nachten
        het kwam in een doos
        ik had er nog nooit van gehoord
        mijn collega had het genoemd
        we waren er in de zomer
        het is het tweede deel van een reeks
        daarna nam ik de trein naar huis
        """),
)
