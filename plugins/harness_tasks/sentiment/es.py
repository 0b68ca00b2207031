"""Spanish opinions."""

from __future__ import annotations

from harness_tasks.sentiment.grammar import Language, Opinions, feminine_by, lines, words

SPANISH = Language(
    masculine=words("""
        el libro, el hotel, el servicio, el desayuno, el teléfono, el producto, el restaurante, el vino,
        el personal, el relato, el diseño, el estilo
        """),
    feminine=words("""
        la habitación, la entrega, la batería, la música, la comida, la lectura, la traducción, la
        película, la terraza
        """),
    feminine_of=feminine_by(("dor", "dora"), ("o", "a")),
    positive=Opinions(
        plain=words("""
            bueno, bonito, agradable, interesante, entretenido, divertido, simpático, conmovedor,
            inteligente, original, convincente, emocionante, elegante, cuidado, vivo, fresco, ameno,
            apasionante, cómodo, acogedor, amable, refinado, práctico, sabroso, fiable, encantador,
            delicado, ingenioso
            """),
        strong=words("""
            maravilloso, magnífico, estupendo, excelente, formidable, fantástico, delicioso, genial,
            perfecto, excepcional, sublime, espléndido, inolvidable, fabuloso, impecable,
            extraordinario, exquisito, deslumbrante, insuperable, irresistible
            """),
        acts=lines("""
            me encantó {}
            he disfrutado mucho con {}
            {} me convenció
            recomiendo {} a todo el mundo
            admiro {}
            {} superó mis expectativas
            estoy contento con {}
            {} me hizo sonreír
            alabo sin reservas {}
            {} merece un premio
            me gustó mucho {}
            {} vale cada céntimo
            adoro {}
            {} me emocionó
            """),
        verdicts=words("""
            una joya, una obra maestra, una maravilla, una grata sorpresa, un verdadero placer, un
            éxito, una delicia, una revelación, una ganga, un acierto, un flechazo, un encanto, una
            gozada, un regalo
            """),
    ),
    negative=Opinions(
        plain=words("""
            malo, aburrido, soso, plano, previsible, torpe, largo, superficial, flojo, irritante,
            descuidado, pesado, confuso, lento, gris, decepcionante, sucio, desagradable, ruidoso, frío,
            antipático, vulgar, pretencioso, mediocre, incómodo, insípido, tedioso, molesto
            """),
        strong=words("""
            horrible, horroroso, espantoso, pésimo, catastrófico, insoportable, detestable, penoso,
            atroz, desastroso, escandaloso, ridículo, asqueroso, inservible, vergonzoso, lamentable,
            nefasto, terrible, abominable, infumable
            """),
        acts=lines("""
            odié {}
            me arrepiento de haber elegido {}
            {} me decepcionó
            no recomiendo {} a nadie
            detesto {}
            {} quedó por debajo de mis expectativas
            no soporto {}
            {} me hizo bostezar
            critico duramente {}
            {} no merece ningún elogio
            no me gustó nada {}
            {} no vale un céntimo
            aborrezco {}
            {} me dejó indiferente
            """),
        verdicts=words("""
            una decepción, un fracaso, una pérdida de tiempo, una catástrofe, un desastre, un fiasco,
            una estafa, un suplicio, una vergüenza, un derroche, dinero tirado, una tortura, un timo, un
            tostón
            """),
    ),
    degrees=words("muy, realmente, bastante, más bien, francamente, tan"),
    intense=words("absolutamente, sencillamente, verdaderamente, simplemente"),
    states=words("{} era {}, {} es {}, {} me pareció {}, {} fue {}"),
    denials=words("{} no era {}, {} no es {}, {} no me pareció {}, {} no era nada {}, {} no fue {}"),
    closings=words("en resumen: {}, qué puedo decir: {}, para mí es {}, en definitiva: {}, para mí fue {}"),
    contrast="{} , pero {}",
    asides=lines("""
        fuimos un martes
        lo había elegido mi hermana
        lo leí en el periódico
        aquel día llovía
        me lo dio un amigo
        nos quedamos dos noches
        llegó en una caja
        no lo conocía
        lo había mencionado un compañero
        estuvimos allí en verano
        es el segundo tomo de una serie
        después tomé el tren
        """),
)
